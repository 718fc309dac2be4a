package ha

import (
	"fmt"
	"time"

	"github.com/holdfast/holdfast/host/clock"
)

// Snapshot is what others may know of the protocol at a moment.
type Snapshot struct {
	Role       Role
	Suspended  bool
	Leaving    bool
	Known      bool          // there is a record
	Record     Record        // last seen
	Lease      clock.Instant // of this node
	Since      time.Time     // of the present role, wall clock, for people
	Change     Change        // the last change of the active node
	Seen       Sighting      // how far this node knows the record to have come
	Damage     Damage        // of the record
	RecordLost string        // why there is no record to work with; empty if there is one
	Lost       Record        // with RecordLost: what is there instead, if it can be read
}

// Change is what happened last to the role of the active node, whichever node that is.
type Change struct {
	At     time.Time // when this node learned of it, wall clock, for people
	Reason string
}

// Snapshot returns the present state. It never blocks.
func (d *Driver) Snapshot() Snapshot { return *d.snapshot.Load() }

// publish updates the snapshot, and tells of changes that matter to others.
func (d *Driver) publish(r received) {
	s := *d.snapshot.Load()
	old := s
	s.Role, s.Suspended, s.Leaving = d.state.Role, d.state.Suspended, d.state.Leaving
	s.Known, s.Record, s.Lease = d.state.Known, d.state.Record, d.state.Lease
	s.Seen, s.RecordLost, s.Damage, s.Lost = d.state.told(), d.state.Trouble, d.state.Found.Damage, d.state.Found.Record
	if (old.Role == Active) != (s.Role == Active) {
		s.Since = time.Now()
	}
	if reason := changed(old, s, d.reason); reason != "" {
		s.Change = Change{At: time.Now(), Reason: reason}
	}
	d.snapshot.Store(&s)
	if s.Role == Active && s.Suspended && !old.Suspended {
		d.cfg.Logger.Warn("suspended: the store does not answer; requests wait", "epoch", s.Record.Epoch, "error", r.cause)
	}
	if s.Role == Active && !s.Suspended && old.Suspended {
		d.cfg.Logger.Info("resumed: the store answers again", "epoch", s.Record.Epoch)
	}
	if s.Role != old.Role || s.Suspended != old.Suspended || s.Leaving != old.Leaving || s.Known != old.Known ||
		s.Record.Epoch != old.Record.Epoch || s.Record.Phase != old.Record.Phase || s.RecordLost != old.RecordLost {
		d.cfg.Changed(s)
	}
}

// changed says what happened to the role of the active node between two snapshots of a
// node; "" if nothing did. reason is of this node's own change of role.
func changed(old, now Snapshot, reason string) string {
	held := now.Known && now.Record.Phase == Held
	was, is := old.Record, now.Record
	switch {
	case now.Role == Active && old.Role != Active:
		return fmt.Sprintf("%s %s", is.Holder.APIAddress, reason)
	case now.Role != Active && old.Role == Active && now.RecordLost == "":
		return fmt.Sprintf("%s is no longer active: %s", was.Holder.APIAddress, reason)
	case now.RecordLost != "" && old.RecordLost == "":
		return "no node is active: " + now.RecordLost
	case now.Role == Active || !now.Known:
		return ""
	case is.Epoch == was.Epoch && is.Generation == was.Generation && is.Phase == was.Phase:
		return ""
	case !held:
		return is.ending()
	case was.Batch == "":
		return fmt.Sprintf("%s was active already, in epoch %d, when this node was unsealed", is.Holder.APIAddress, is.Epoch)
	case is.Epoch == was.Epoch+1 && is.Generation == was.Generation:
		return fmt.Sprintf("%s took over epoch %d: %s", is.Holder.APIAddress, is.Epoch, was.ending())
	default:
		return fmt.Sprintf("%s took over epoch %d, which this node did not see", is.Holder.APIAddress, is.Epoch)
	}
}
