package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/holdfast/holdfast/host/barrier"
	"github.com/holdfast/holdfast/host/clock"
	"github.com/holdfast/holdfast/host/cluster"
	"github.com/holdfast/holdfast/host/version"
	"github.com/holdfast/holdfast/sdk/storage"
)

// forgetAfter is how long a member is remembered that is not attached: a node that is being
// replaced, repaired or restarted still counts when it is judged what all members speak.
const forgetAfter = time.Hour

// roster is who belongs to the cluster, by API address, which a node keeps over
// restarts. The active node keeps it in the store, so that the next one knows of
// members that are down.
type roster map[string]rosterEntry

type rosterEntry struct {
	Hostname       string      `json:"hostname"`
	ClusterAddress string      `json:"cluster_address,omitempty"`
	Release        string      `json:"release"`
	Speaks         version.Set `json:"speaks"`
}

// present replaces what is known of the nodes that are there: this one, and the standbys.
func (r roster) present(list []cluster.Member) {
	fresh := roster{}
	for _, m := range list {
		entry := rosterEntry{Hostname: m.Hostname, ClusterAddress: m.ClusterAddress, Release: m.Version, Speaks: m.Speaks.OrFirst()}
		if twin, ok := fresh[m.APIAddress]; ok { // one of them is on its way out
			entry.Speaks = entry.Speaks.Common(twin.Speaks)
		}
		fresh[m.APIAddress] = entry
	}
	maps.Copy(r, fresh)
}

// common returns the newest that all speak.
func (r roster) common() version.Set {
	common := version.Spoken()
	for _, entry := range r {
		common = common.Common(entry.Speaks.OrFirst())
	}
	return common
}

// behind names the members that keep the cluster from what this node speaks.
func (r roster) behind() []string {
	var names []string
	for address, entry := range r {
		if version.Spoken().Common(entry.Speaks.OrFirst()) != version.Spoken() {
			names = append(names, fmt.Sprintf("%s (%s)", address, entry.Release))
		}
	}
	slices.Sort(names)
	return names
}

// keepRoster keeps the roster and, once all members speak something newer than what is
// in force, has the record say so. It returns when the tenure, whose context is ctx, ends.
func (s *session) keepRoster(ctx context.Context) error {
	ctx, err := s.store.Begin(ctx)
	if err != nil {
		return err
	}
	known, whole, err := s.loadRoster(ctx)
	if err != nil {
		return err
	}
	began := clock.Now()
	ticker := time.NewTicker(time.Minute)
	defer ticker.Stop()
	seen := map[string]clock.Instant{}
	for address := range known {
		seen[address] = clock.Now() // how long it is away, only this tenure can tell
	}
	behind := ""
	for {
		changed := s.members.Changed()
		next := maps.Clone(known)
		s.muster(next, seen)
		if !maps.Equal(next, known) {
			if err := s.storeRoster(ctx, next); err != nil {
				return err
			}
			known = next
		}
		if whole || clock.Now().Sub(began) > forgetAfter { // members that are not known any more have had time to attach
			s.agree(ctx, known.common())
		}
		if names := strings.Join(known.behind(), ", "); names != behind {
			behind = names
			if names != "" {
				s.node.cfg.Logger.Info("new formats wait for members of an older release", "members", names)
			}
		}
		select {
		case <-changed:
		case <-ticker.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// agree has the record say what all members speak, if that is new.
func (s *session) agree(ctx context.Context, common version.Set) {
	if !s.driver.Snapshot().Record.RaisedBy(common) {
		return
	}
	s.node.cfg.Logger.Info("all members speak newer formats; from now on they are used",
		"record", common.Record, "layout", common.Layout, "protocol", common.Protocol)
	s.driver.Agree(ctx, common)
}

// muster brings r up to date with who is there, and forgets who is long gone.
func (s *session) muster(r roster, seen map[string]clock.Instant) {
	present := append(s.members.Members(), s.self)
	r.present(present)
	now := clock.Now()
	for _, m := range present {
		seen[m.APIAddress] = now
	}
	for address := range r {
		if now.Sub(seen[address]) > forgetAfter {
			delete(r, address)
		}
	}
}

// loadRoster reads the roster. One that is damaged is begun anew, and is not whole; its
// members come back as they attach.
func (s *session) loadRoster(ctx context.Context) (known roster, whole bool, err error) {
	known, whole = roster{}, true
	plain, err := s.store.Get(ctx, rosterKey)
	if barrier.IsDamage(err) {
		s.node.cfg.Logger.Error("the list of members in the store can not be used; it is begun anew", "error", err)
		plain, err, whole = []byte("{}"), nil, false
	}
	if errors.Is(err, storage.ErrNotFound) {
		plain, err = []byte("{}"), nil
	}
	if err == nil {
		err = json.Unmarshal(plain, &known)
	}
	if err != nil {
		return nil, false, fmt.Errorf("read %s: %w", rosterKey, err)
	}
	return known, whole, nil
}

func (s *session) storeRoster(ctx context.Context, r roster) error {
	plain, err := json.Marshal(r)
	if err != nil {
		return err
	}
	if err := s.store.Put(ctx, rosterKey, plain); err != nil {
		return fmt.Errorf("write %s: %w", rosterKey, err)
	}
	return nil
}
