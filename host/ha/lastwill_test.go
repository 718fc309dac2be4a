package ha_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/holdfast/holdfast/host/ha"
	"github.com/holdfast/holdfast/sdk/storage"
)

// hasWill reports whether the plugin of m has been left a will.
func (m *member) hasWill() bool {
	_, value := m.conn.LastWill()
	return value != nil
}

// A standby takes over from a will at once, with everything that was committed after it was sealed.
func TestWillIsTakenOver(t *testing.T) {
	c := newCluster(t)
	patient := func(_ *member, cfg *ha.Config) { cfg.Timing.Lease = time.Minute } // it is not silence that ends the tenure
	a := c.start(patient)
	await(t, "the first is active", a.active)
	await(t, "it has left a will", a.hasWill)
	b := c.start(patient)
	for _, value := range []string{"1", "2", "3"} {
		if err := a.put("k", value); err != nil {
			t.Fatal(err)
		}
	}
	await(t, "the second knows the first", func() bool { return b.Snapshot().Record.Holder.ID == a.id })
	key, will := a.conn.LastWill()
	a.kill()
	c.storage.Put(key, will) // as the plugin does
	await(t, "the second is active", b.active)
	s := b.Snapshot()
	if !strings.Contains(s.Change.Reason, "was killed") || s.Record.Epoch != 2 || s.RecordLost != "" {
		t.Errorf("epoch %d after %q (%s), want the will to be the reason", s.Record.Epoch, s.Change.Reason, s.RecordLost)
	}
	if got, err := b.get("k"); got != "3" || err != nil {
		t.Errorf("get = %q, %v, want what was acknowledged last", got, err)
	}
}

// witness looks at every Commit of a node.
type witness struct {
	storage.HABackend

	look func(storage.Guard)
}

func (w witness) Commit(ctx context.Context, g storage.Guard, ops []storage.Op) (storage.Version, error) {
	w.look(g)
	return w.HABackend.Commit(ctx, g, ops)
}

// No record that begins or ends a tenure can be followed by a will of another one: it is taken back
// before.
func TestWillLastsAsLongAsTheTenure(t *testing.T) {
	c := newCluster(t)
	var ends atomic.Int32
	var last atomic.Uint64 // epoch
	m := c.start(func(m *member, cfg *ha.Config) {
		cfg.Backend = witness{m.conn, func(g storage.Guard) {
			plain, err := m.sealer.Open(g.Key, g.Value)
			if err != nil {
				t.Error(err)
				return
			}
			r, err := ha.DecodeRecord(plain)
			if err != nil {
				t.Error(err)
				return
			}
			began := last.Swap(r.Epoch) < r.Epoch
			if r.Phase != ha.Held {
				ends.Add(1)
			}
			if (began || r.Phase != ha.Held) && m.hasWill() {
				t.Errorf("%s of epoch %d is sent while the plugin has a will", r.Phase, r.Epoch)
			}
		}}
	})
	for epoch := range 3 {
		await(t, "active", func() bool { return m.active() && m.hasWill() })
		if err := m.StepDown(t.Context(), "", "a test"); err != nil {
			t.Fatal(err)
		}
		if m.hasWill() || int(ends.Load()) != epoch+1 {
			t.Errorf("stepped down %d times, %d records given up, and there is a will: %t", epoch+1, ends.Load(), m.hasWill())
		}
	}
	await(t, "active again", func() bool { return m.active() && m.hasWill() })
	other := ha.Record{Cluster: "c", Epoch: 99, Seq: 1 << 50, Batch: "x", Holder: ha.Node{ID: "other"}, Phase: ha.Held, Lease: ha.DefaultTiming.Lease}
	c.write(other)
	await(t, "deposed", func() bool { return !m.active() })
	await(t, "a deposed node has no will", func() bool { return !m.hasWill() })
}

// A node that stops following the record, sealed for instance, leaves no will behind.
func TestNoWillAfterTheEnd(t *testing.T) {
	c := newCluster(t)
	m := c.start()
	await(t, "active", func() bool { return m.active() && m.hasWill() })
	m.kill()
	if m.hasWill() {
		t.Error("the node has ended, and its will is there")
	}
}
