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
	"github.com/holdfast/holdfast/host/store"
	"github.com/holdfast/holdfast/sdk/storage"
)

func TestNodeTakesAReleasedRecordAtOnce(t *testing.T) {
	c := newCluster(t)
	started := time.Now()
	m := c.start(patiently)
	await(t, "active", m.active)
	if took := time.Since(started); took > patience.Lease {
		t.Errorf("active after %v; nobody held the record", took)
	}
	if err := m.put("k", "1"); err != nil {
		t.Fatal(err)
	}
	if got, err := m.get("k"); got != "1" || err != nil {
		t.Errorf("get = %q, %v", got, err)
	}
	s := m.Snapshot()
	if !s.Known || s.Record.Holder.ID != m.id || s.Record.Epoch != 1 || s.Change.Reason == "" || s.RecordLost != "" {
		t.Errorf("snapshot: %+v", s)
	}
}

func TestDeadNodeIsReplaced(t *testing.T) {
	c := newCluster(t)
	a := c.start()
	await(t, "the first is active", a.active)
	b := c.start()
	if err := a.put("k", "1"); err != nil {
		t.Fatal(err)
	}
	await(t, "the second knows the first", func() bool { return b.Snapshot().Record.Holder.ID == a.id })
	a.kill()
	killed := time.Now()
	await(t, "the second is active", b.active)
	took := time.Since(killed)
	t.Logf("replaced after %v", took)
	if took < timing.Lease-timing.Beat {
		t.Errorf("replaced after %v, the lease is %v", took, timing.Lease)
	}
	if got, err := b.get("k"); got != "1" || err != nil {
		t.Errorf("get = %q, %v", got, err)
	}
}

func TestStepDownHandsOver(t *testing.T) {
	c := newCluster(t)
	a := c.start(patiently)
	await(t, "the first is active", a.active)
	b := c.start(patiently)
	await(t, "the second knows the first", func() bool { return b.Snapshot().Record.Holder.ID == a.id })
	started := time.Now()
	if err := a.StepDown(t.Context(), b.id, "a test"); err != nil {
		t.Fatal(err)
	}
	if a.active() {
		t.Error("still active when StepDown returned")
	}
	if err := a.put("k", "1"); !errors.Is(err, store.ErrNotActive) {
		t.Errorf("put on the former one: %v", err)
	}
	await(t, "the second is active", b.active)
	if took := time.Since(started); took > patience.Lease {
		t.Errorf("handed over in %v", took)
	}
	if err := a.StepDown(t.Context(), "", "a test"); err != nil {
		t.Errorf("step-down of a standby: %v", err)
	}
	await(t, "the first knows why", func() bool {
		return a.Snapshot().Change.Reason == "https://"+b.id+" took over epoch 2: https://"+a.id+" handed over"
	})
}

// With nobody to take over a node becomes active again after a second.
func TestStepDownOfTheOnlyNode(t *testing.T) {
	c := newCluster(t)
	m := c.start()
	await(t, "active", m.active)
	asked := time.Now() // not when StepDown has returned, which may be late
	if err := m.StepDown(t.Context(), "", "a test"); err != nil {
		t.Fatal(err)
	}
	await(t, "active again", m.active)
	if took := time.Since(asked); took < time.Second {
		t.Errorf("active again after %v", took)
	}
}

func TestStepDownWhileTheStoreHangs(t *testing.T) {
	c := newCluster(t)
	m := c.start()
	await(t, "active", m.active)
	m.conn.FailAll(fakestorage.Hang)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if err := m.StepDown(ctx, "", "a test"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("step-down: %v", err)
	}
	m.conn.Heal()
	await(t, "stepped down after all", func() bool { return !m.active() })

	await(t, "active again", m.active)
	m.conn.FailAll(fakestorage.Hang)
	result := make(chan error, 1)
	go func() { result <- m.StepDown(t.Context(), "", "a test") }()
	await(t, "leaving", func() bool { return m.Snapshot().Leaving })
	m.kill()
	if err := <-result; err == nil {
		t.Error("a step-down succeeded that the store never heard of")
	}
	if err := m.StepDown(t.Context(), "", "a test"); err == nil {
		t.Error("a step-down succeeded after the end")
	}
}

// A store that is away does not change who is active: suspended, then on in the same term.
func TestStoreAwayAndBack(t *testing.T) {
	all := func(f fakestorage.Failure) func(fakestorage.Call) fakestorage.Fault {
		return func(fakestorage.Call) fakestorage.Fault { return fakestorage.Fault{Failure: f} }
	}
	for name, fault := range map[string]func(fakestorage.Call) fakestorage.Fault{
		"refuses": all(fakestorage.Refuse), "loses calls": all(fakestorage.LoseCall), "hangs": all(fakestorage.Hang),
		"refuses writes": func(call fakestorage.Call) fakestorage.Fault {
			if call == fakestorage.Commit {
				return fakestorage.Fault{Failure: fakestorage.Refuse}
			}
			return fakestorage.Fault{}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCluster(t)
			a := c.start(patiently)
			await(t, "active", a.active)
			b := c.start(patiently)
			await(t, "the second knows the first", func() bool { return b.Snapshot().Record.Holder.ID == a.id })
			a.conn.Fail(fault)
			b.conn.Fail(fault)
			await(t, "suspended", func() bool { return a.Snapshot().Suspended })
			if err := a.put("k", "1"); err == nil {
				t.Error("a write succeeded without the store")
			}
			<-time.After(patience.Lease * 3 / 2)
			b.conn.Heal()
			a.conn.Heal()
			await(t, "resumed", func() bool { return !a.Snapshot().Suspended })
			await(t, "writes", func() bool { return a.put("k", "2") == nil })
			if s := a.Snapshot(); s.Record.Epoch != 1 || b.active() {
				t.Errorf("epoch %d, the other is active: %t", s.Record.Epoch, b.active())
			}
		})
	}
}

// Lost answers and lost calls: a write is acknowledged once it is known, and is there.
func TestUnknownOutcomesAreSettled(t *testing.T) {
	for name, failure := range map[string]fakestorage.Failure{"call": fakestorage.LoseCall, "answer": fakestorage.LoseAnswer} {
		for _, times := range []int32{1, 2, 3, 4, 5} {
			c := newCluster(t)
			m := c.start()
			await(t, "active", m.active)
			var left atomic.Int32
			left.Store(times)
			m.conn.Fail(func(call fakestorage.Call) fakestorage.Fault {
				if call == fakestorage.Commit && left.Add(-1) >= 0 {
					return fakestorage.Fault{Failure: failure}
				}
				return fakestorage.Fault{}
			})
			if err := m.put("k", "1"); err != nil {
				t.Errorf("%s lost %d times: %v", name, times, err)
			}
			if _, ok := c.storage.Item("k"); !ok {
				t.Errorf("%s lost %d times: acknowledged and not there", name, times)
			}
			if s := m.Snapshot(); s.Record.Epoch != 1 || s.Role != ha.Active {
				t.Errorf("%s lost %d times: %v in epoch %d", name, times, s.Role, s.Record.Epoch)
			}
			m.kill()
		}
	}
}

// A write that the store refuses for what is in it fails alone, with the store's reason.
func TestWriteThatTheStoreRefuses(t *testing.T) {
	c := newCluster(t)
	m := c.start(func(m *member, _ *ha.Config) {
		m.conn.Limits = storage.Limits{MaxKeyBytes: 512, MaxValueBytes: 16 << 10, MaxOps: 16, MaxBatchBytes: 16 << 10}
	})
	await(t, "active", m.active)
	if err := m.put("k", strings.Repeat("x", 20<<10)); !errors.Is(err, storage.ErrTooLarge) {
		t.Errorf("too large: %v", err)
	}
	if err := m.put("k", "1"); err != nil {
		t.Errorf("the next write: %v", err)
	}
	if s := m.Snapshot(); s.Record.Epoch != 1 {
		t.Errorf("epoch %d", s.Record.Epoch)
	}
}

// Stopping a node tells those who wait what became of their writes.
func TestRunLeavesNobodyWaiting(t *testing.T) {
	c := newCluster(t)
	m := c.start()
	await(t, "active", m.active)
	var sent atomic.Bool
	m.conn.Fail(func(call fakestorage.Call) fakestorage.Fault {
		if call == fakestorage.Commit {
			sent.Store(true)
			return fakestorage.Fault{Failure: fakestorage.Hang}
		}
		return fakestorage.Fault{}
	})
	result := make(chan error, 1)
	go func() { result <- m.put("k", "1") }()
	await(t, "sent", sent.Load)
	await(t, "a write is in flight", func() bool { return m.Snapshot().Suspended })
	killed := time.Now()
	m.kill()
	if err := <-result; err == nil || errors.Is(err, context.DeadlineExceeded) || time.Since(killed) > 2*time.Second {
		t.Errorf("the write returned %v after %v", err, time.Since(killed))
	}
	if _, err := m.store.Begin(t.Context()); !errors.Is(err, store.ErrNotActive) {
		t.Errorf("a request after the end: %v", err)
	}
	if m.err != nil {
		t.Errorf("Run = %v", m.err)
	}
}
