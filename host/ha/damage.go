package ha

import (
	"context"
	"errors"
	"fmt"

	"github.com/holdfast/holdfast/host/clock"
	"github.com/holdfast/holdfast/sdk/storage"
)

// Damage says what is wrong with the record in the store. No node works on a damaged
// record, or makes a new one: that could give two histories. An operator puts the record
// back, or accepts the store as it is.
type Damage string

// The kinds of damage. The zero Damage is none.
const (
	Missing    Damage = "missing"    // deleted, or the store was restored to before it
	Unreadable Damage = "unreadable" // altered, not Holdfast's, or sealed under a key that was lost
	Foreign    Damage = "foreign"    // of another cluster
	WentBack   Damage = "went-back"  // older than what was seen: the store was restored
	TooNew     Damage = "too-new"    // not damaged: this build is too old for it
)

// Remedy says what an operator can do.
func (d Damage) Remedy() string {
	if d == TooNew {
		return "upgrade this node"
	}
	return `put the record back, or go on with the store as it is: "holdfast operator accept-restore"`
}

// found is a record that can not be used.
type found struct {
	Damage  Damage
	Version storage.Version // of it; zero if it is missing
	Record  Record          // zero if it can not be read
	Since   clock.Instant   // when it was found like that, at that version
}

// errForeign: the record is sealed with this cluster's key, and names another cluster.
var errForeign = errors.New("the term record (" + RecordKey + ") is of another cluster")

// damageOf classifies why a record that is there can not be used.
func damageOf(err error) Damage {
	switch {
	case errors.Is(err, ErrNewerFormat):
		return TooNew
	case errors.Is(err, errForeign):
		return Foreign
	default:
		return Unreadable
	}
}

// acceptedElsewhere checks a record of a later generation than this node knows: an operator
// has accepted the store as it is, and so its keyring.
func (d *Driver) acceptedElsewhere(ctx context.Context, r Record) error {
	known := d.Snapshot().Record
	if known.Batch == "" || r.Generation <= known.Generation {
		return nil
	}
	if err := d.cfg.Reload(ctx); err != nil {
		return fmt.Errorf("an operator has accepted the store as it was restored, and its keyring is not the one of this node; "+
			"seal this node and unseal it again: %w", err)
	}
	return nil
}

// rememberDamage keeps what is in the store instead of a record that can be used.
func (d *Driver) rememberDamage(r received) {
	switch e := r.event.(type) {
	case Done:
		d.damaged = d.bytes
	case Seen:
		if e.Version == d.state.Found.Version {
			d.damaged = r.raw
		}
	case Gone:
		if e.Version == d.state.Found.Version {
			d.damaged = r.raw
		}
	}
}

// gone takes in that there is no record to work with. This node does not make a
// new one: that could give two histories.
func (s *State) gone(e Gone, now clock.Instant) []Effect {
	if s.Attempt.Kind != None && s.Attempt.Stage != Reading {
		return nil // the Commit in flight will tell
	}
	if s.Found.Damage != e.Damage || s.Found.Version != e.Version || s.Trouble == "" {
		s.Found = found{Damage: e.Damage, Version: e.Version, Record: e.Record, Since: now}
	}
	s.Known, s.Trouble = false, e.Reason
	s.gap()
	return s.demote(Doubtful, e.Reason)
}
