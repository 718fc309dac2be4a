package ha_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/holdfast/holdfast/host/ha"
	"github.com/holdfast/holdfast/host/version"
	"github.com/holdfast/holdfast/sdk/storage"
)

// The active node writes what all members speak, from its next Commit on, and whoever
// follows keeps it.
func TestFormatIsRaised(t *testing.T) {
	c := newCluster(t)
	a := c.start()
	await(t, "active", a.active)
	if got, want := a.Snapshot().Record.InForce(), (version.Set{Record: 1, Layout: 1, Protocol: 1}); got != want {
		t.Errorf("in force at first: %+v, want %+v", got, want)
	}
	inForce := func(m *member) func() bool {
		return func() bool { return m.Snapshot().Record.InForce() == version.Spoken() }
	}
	b := c.start()
	b.Agree(t.Context(), version.Spoken()) // nobody asks a standby
	a.Agree(t.Context(), version.Spoken())
	await(t, "the active node writes it", inForce(a))
	await(t, "the standby reads it", inForce(b))
	await(t, "the will of the active node does not lower it", func() bool {
		key, sealed := a.conn.LastWill()
		plain, err := c.sealer.Open(key, sealed)
		if err != nil {
			t.Fatal(err)
		}
		will, err := ha.DecodeRecord(plain)
		return err == nil && will.InForce() == version.Spoken()
	})
	a.kill()
	await(t, "the standby takes over", b.active)
	if !inForce(b)() {
		t.Errorf("in force after a take-over: %+v", b.Snapshot().Record.InForce())
	}
}

// A node that is too old for the record says so, does not take over, and goes on when the
// record is one that it can read.
func TestNodeThatIsTooOld(t *testing.T) {
	c := newCluster(t)
	sealed, err := c.sealer.Seal(ha.RecordKey, []byte(`{"format":99,"holder":{"api":"http://newer:8200","release":"9.0.0"}}`))
	if err != nil {
		t.Fatal(err)
	}
	c.storage.Put(ha.RecordKey, sealed)
	before, _ := c.storage.Item(ha.RecordKey)
	m := c.start()
	for _, want := range []string{"version 99", "up to 3", "upgrade this node", "release 9.0.0", "http://newer:8200"} {
		await(t, "it says: "+want, func() bool { return strings.Contains(m.Snapshot().RecordLost, want) })
	}
	<-time.After(4 * timing.Lease)
	if after, _ := c.storage.Item(ha.RecordKey); after.Version != before.Version || m.active() {
		t.Errorf("the record moved from version %q to %q; active: %t", before.Version, after.Version, m.active())
	}
	c.write(ha.FirstRecord("c"))
	await(t, "active", m.active)
}

// A record that this node has no key for is not judged before the store has said what
// the keyring is.
func TestRecordIsNotJudgedWithoutTheKeyring(t *testing.T) {
	c := newCluster(t)
	a := c.start()
	await(t, "active", a.active)
	var away atomic.Bool
	var reloads atomic.Int32
	away.Store(true)
	b := c.start(func(m *member, cfg *ha.Config) {
		cfg.Reload = func(context.Context) error {
			reloads.Add(1)
			if away.Load() {
				return storage.ErrUnavailable
			}
			m.sealer.set(2, 2)
			return nil
		}
	})
	await(t, "the second knows the first", func() bool { return b.Snapshot().Record.Holder.ID == a.id })
	a.sealer.set(2, 2) // rotated
	seq := a.Snapshot().Record.Seq
	await(t, "it is written with the new key", func() bool { return a.Snapshot().Record.Seq > seq+3 })
	await(t, "the keyring was asked for", func() bool { return reloads.Load() > 3 })
	if s := b.Snapshot(); !s.Known || s.RecordLost != "" || s.Role != ha.Standby {
		t.Errorf("known: %t, lost: %q, role: %v", s.Known, s.RecordLost, s.Role)
	}
	away.Store(false)
	await(t, "the second follows again", func() bool { return b.Snapshot().Record.Seq > seq+3 })
	a.kill()
	await(t, "it takes over", b.active)
}
