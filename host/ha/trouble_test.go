package ha_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/holdfast/holdfast/host/ha"
	"github.com/holdfast/holdfast/host/internal/fakestorage"
	"github.com/holdfast/holdfast/sdk/storage"
)

// Whatever happens to the record, no node makes a new one: that could give two histories.
func TestRecordThatCanNotBeUsed(t *testing.T) {
	for name, test := range map[string]struct {
		harm func(*cluster) (repair func())
		want string // in Snapshot.RecordLost
	}{
		"deleted": {func(c *cluster) func() {
			item, _ := c.storage.Item(ha.RecordKey)
			c.storage.Delete(ha.RecordKey)
			return func() { c.storage.Put(ha.RecordKey, item.Value) }
		}, "missing"},
		"overwritten": {func(c *cluster) func() {
			item, _ := c.storage.Item(ha.RecordKey)
			c.storage.Put(ha.RecordKey, []byte("garbage"))
			return func() { c.storage.Put(ha.RecordKey, item.Value) }
		}, "not known here"},
		"of another cluster": {func(c *cluster) func() {
			item, _ := c.storage.Item(ha.RecordKey)
			c.write(ha.FirstRecord("another"))
			return func() { c.storage.Put(ha.RecordKey, item.Value) }
		}, "another cluster"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCluster(t)
			a := c.start()
			await(t, "active", a.active)
			b := c.start()
			await(t, "the second knows the first", func() bool { return b.Snapshot().Record.Holder.ID == a.id })
			repair := test.harm(c)
			for _, m := range []*member{a, b} {
				await(t, m.id+" refuses to go on", func() bool {
					s := m.Snapshot()
					return s.Role == ha.Standby && !s.Known && strings.Contains(s.RecordLost, test.want)
				})
			}
			harmed, _ := c.storage.Item(ha.RecordKey)
			<-time.After(4 * timing.Lease)
			if item, _ := c.storage.Item(ha.RecordKey); item.Version != harmed.Version || a.active() || b.active() {
				t.Errorf("the record moved from version %q to %q; active: %t, %t", harmed.Version, item.Version, a.active(), b.active())
			}
			repair()
			await(t, "one is active after the repair", func() bool { return a.active() || b.active() })
			for _, m := range []*member{a, b} {
				await(t, m.id+" has a record", func() bool { s := m.Snapshot(); return s.Known && s.RecordLost == "" })
			}
		})
	}
}

// A store restored to an older state has forgotten writes that were acknowledged: every
// node that remembers refuses to go on.
func TestRecordThatWentBack(t *testing.T) {
	c := newCluster(t)
	a := c.start()
	await(t, "active", a.active)
	b := c.start()
	restore := c.storage.Snapshot()
	if err := a.put("k", "1"); err != nil {
		t.Fatal(err)
	}
	later := a.Snapshot().Record.Seq
	await(t, "the second is as far", func() bool { return b.Snapshot().Record.Seq >= later })
	restore()
	for _, m := range []*member{a, b} {
		await(t, m.id+" refuses to go on", func() bool {
			s := m.Snapshot()
			return s.Role == ha.Standby && !s.Known && strings.Contains(s.RecordLost, "restored to an older state")
		})
	}
	<-time.After(4 * timing.Lease)
	if a.active() || b.active() {
		t.Error("a node went on with the older state")
	}
}

// The record may be sealed with a key that this node has not seen yet.
func TestKeyringIsReloadedForANewerKey(t *testing.T) {
	c := newCluster(t)
	c.sealer.set(2, 2)
	c.write(ha.FirstRecord("c"))
	var reloads atomic.Int32
	m := c.start(func(m *member, cfg *ha.Config) {
		cfg.Reload = func(context.Context) error {
			if reloads.Add(1) == 1 {
				return errors.New("the store does not answer")
			}
			m.sealer.set(2, 2)
			return nil
		}
	})
	// The first reload fails and the record does not change any more: it is looked at again.
	await(t, "active", m.active)
	if got := reloads.Load(); got < 2 {
		t.Errorf("%d reloads", got)
	}
}

func TestSoloNodeRefusesToRunBesideAnother(t *testing.T) {
	c := newCluster(t)
	a := c.start()
	await(t, "active", a.active)
	solo := c.start(func(_ *member, cfg *ha.Config) { cfg.Solo = true })
	<-solo.ended
	if !errors.Is(solo.err, ha.ErrRefused) || !strings.Contains(solo.err.Error(), a.id) {
		t.Errorf("Run = %v", solo.err)
	}
	if !a.active() {
		t.Error("it took over")
	}
}

func TestSoloNodeTakesOverFromADeadOne(t *testing.T) {
	c := newCluster(t)
	a := c.start()
	await(t, "active", a.active)
	a.kill()
	solo := c.start(func(_ *member, cfg *ha.Config) { cfg.Solo = true })
	await(t, "active", solo.active)
}

// A Watch that says nothing, or fails, does not keep a standby from seeing that the active
// node is dead, nor that it is alive.
func TestStandbyDoesNotDependOnItsWatch(t *testing.T) {
	for name, failure := range map[string]fakestorage.Failure{"hangs": fakestorage.Hang, "fails": fakestorage.LoseCall} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCluster(t)
			a := c.start()
			await(t, "active", a.active)
			b := c.start(func(m *member, _ *ha.Config) {
				m.conn.Fail(func(call fakestorage.Call) fakestorage.Fault {
					if call == fakestorage.Watch {
						return fakestorage.Fault{Failure: failure}
					}
					return fakestorage.Fault{}
				})
			})
			<-time.After(4 * timing.Lease)
			if !a.active() || b.Snapshot().Record.Holder.ID != a.id {
				t.Errorf("the active node lost its place: %+v", a.Snapshot())
			}
			a.kill()
			await(t, "the standby took over", b.active)
		})
	}
}

// slowReader answers a read of the record long after it looked.
type slowReader struct {
	*fakestorage.Node
	looked, gate chan struct{}
}

func (s *slowReader) Get(ctx context.Context, key string) (storage.Item, error) {
	item, err := s.Node.Get(ctx, key)
	if key == ha.RecordKey {
		s.looked <- struct{}{}
		select {
		case <-s.gate:
		case <-ctx.Done():
			return storage.Item{}, ctx.Err()
		}
	}
	return item, err
}

// A notice that comes while the record is being read must not be lost: the read may have
// looked before what the notice is about.
func TestNoticeDuringAReadIsNotLost(t *testing.T) {
	c := newCluster(t)
	long := ha.Timing{Lease: time.Minute, Beat: 20 * time.Second} // nothing else makes it look
	holder := ha.Record{Cluster: "c", Epoch: 3, Seq: 9, Batch: "x", Holder: ha.Node{ID: "other"}, Phase: ha.Held, Lease: time.Minute}
	c.write(holder)
	slow := &slowReader{looked: make(chan struct{}, 10), gate: make(chan struct{})}
	m := c.start(func(m *member, cfg *ha.Config) {
		m.conn.Fail(func(call fakestorage.Call) fakestorage.Fault {
			if call == fakestorage.Watch {
				return fakestorage.Fault{Failure: fakestorage.Hang}
			}
			return fakestorage.Fault{}
		})
		slow.Node = m.conn
		cfg.Timing, cfg.Backend = long, slow
	})
	slow.gate <- struct{}{} // the look at the start
	<-slow.looked
	await(t, "the record is known", func() bool { return m.Snapshot().Known })
	m.CheckRecord()
	<-slow.looked
	holder.Phase, holder.Seq = ha.Released, 10
	c.write(holder)
	m.CheckRecord()
	<-time.After(20 * time.Millisecond) // for the notice to arrive during the read
	close(slow.gate)
	await(t, "active", m.active)
}
