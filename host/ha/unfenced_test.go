package ha_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/holdfast/holdfast/host/ha"
	"github.com/holdfast/holdfast/host/internal/fakestorage"
	"github.com/holdfast/holdfast/host/store"
	"github.com/holdfast/holdfast/sdk/storage"
)

func TestCheckAlone(t *testing.T) {
	const beat = 20 * time.Millisecond
	s := fakestorage.New()
	other := s.Connect()
	other.NoHA = true
	if err := ha.CheckAlone(t.Context(), other, ha.InstanceKey, beat); err != nil {
		t.Errorf("on an empty store: %v", err)
	}

	ctx, cancel := context.WithCancel(t.Context())
	kept := make(chan struct{})
	go func() {
		defer close(kept)
		ha.KeepInstance(ctx, other, beat, hclog.NewNullLogger())
	}()
	await(t, "the instance record", func() bool { _, ok := s.Item(ha.InstanceKey); return ok })
	if err := ha.CheckAlone(t.Context(), s.Connect(), ha.InstanceKey, beat); !errors.Is(err, ha.ErrRefused) {
		t.Errorf("beside another: %v", err)
	}
	other.FailAll(fakestorage.LoseCall)
	if err := ha.CheckAlone(t.Context(), other, ha.InstanceKey, beat); err == nil || errors.Is(err, ha.ErrRefused) {
		t.Errorf("without the store: %v, want what the store said", err)
	}
	cancel()
	<-kept
	if err := ha.CheckAlone(t.Context(), s.Connect(), ha.InstanceKey, beat); err != nil {
		t.Errorf("after the other one: %v", err)
	}
}

// The term record of a cluster is enough to see that one of its nodes runs.
func TestCheckAloneBesideAClusterNode(t *testing.T) {
	c := newCluster(t)
	a := c.start()
	await(t, "active", a.active)
	if err := ha.CheckAlone(t.Context(), c.storage.Connect(), ha.RecordKey, timing.Beat); !errors.Is(err, ha.ErrRefused) {
		t.Errorf("beside an active node: %v", err)
	}
	a.kill()
	if err := ha.CheckAlone(t.Context(), c.storage.Connect(), ha.RecordKey, timing.Beat); err != nil {
		t.Errorf("after it: %v", err)
	}
}

// startUnfenced starts a node on a store without high availability.
func startUnfenced(t *testing.T) (*member, *fakestorage.Store) {
	s := fakestorage.New()
	t.Cleanup(s.Wait)
	m := &member{t: t, conn: s.Connect(), sealer: &sealer{newest: 1, known: 1}, ended: make(chan struct{})}
	m.conn.NoHA = true
	var u *ha.Unfenced
	m.store = store.New(store.Config{
		Reader: m.conn, Sealer: m.sealer, Limits: fakestorage.DefaultLimits,
		Wake: func() { u.Wake() }, Hold: 300 * time.Millisecond,
	})
	active := make(chan ha.Snapshot, 1)
	u = ha.NewUnfenced(m.conn, m.store, logger(t), func(s ha.Snapshot) { active <- s })
	var ctx context.Context
	ctx, m.cancel = context.WithCancel(t.Context())
	go func() {
		defer close(m.ended)
		m.err = u.Run(ctx)
	}()
	t.Cleanup(m.kill)
	if s := <-active; s.Role != ha.Active || s.Known {
		t.Errorf("snapshot: %+v", s)
	}
	return m, s
}

func TestUnfencedNodeReadsAndWrites(t *testing.T) {
	m, _ := startUnfenced(t)
	if err := m.put("k", "1"); err != nil {
		t.Fatal(err)
	}
	if got, err := m.get("k"); got != "1" || err != nil {
		t.Errorf("get = %q, %v", got, err)
	}
	m.kill()
	if err := m.put("k", "2"); !errors.Is(err, store.ErrNotActive) {
		t.Errorf("after the end: %v", err)
	}
}

func TestUnfencedOutcomes(t *testing.T) {
	m, s := startUnfenced(t)
	if err := m.put("k", "1"); err != nil {
		t.Fatal(err)
	}
	m.conn.FailAll(fakestorage.Refuse)
	if err := m.put("k", "2"); !errors.Is(err, store.ErrNotActive) || errors.Is(err, store.ErrOutcomeUnknown) {
		t.Errorf("refused: %v", err)
	}
	m.conn.Heal()
	if err := m.put("bad//key", "2"); !errors.Is(err, storage.ErrInvalidKey) {
		t.Errorf("never acceptable: %v", err)
	}

	// Nobody knows, and it may still happen: what memory says is worth nothing then.
	m.conn.Fail(func(call fakestorage.Call) fakestorage.Fault {
		if call == fakestorage.Write {
			return fakestorage.Fault{Failure: fakestorage.Late, Delay: 100 * time.Millisecond}
		}
		return fakestorage.Fault{}
	})
	if err := m.put("k", "3"); !errors.Is(err, store.ErrOutcomeUnknown) {
		t.Errorf("no answer: %v", err)
	}
	if got, err := m.get("k"); got != "1" || err != nil {
		t.Errorf("at first: %q, %v", got, err)
	}
	s.Wait()
	if got, err := m.get("k"); got != "3" || err != nil {
		t.Errorf("after the write was applied: %q, %v", got, err)
	}
}
