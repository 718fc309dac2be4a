package ha_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/holdfast/holdfast/host/ha"
)

// The history says who was active and why, and does not grow for ever.
func TestHistoryOfTerms(t *testing.T) {
	c := newCluster(t)
	a, b := c.start(), c.start()
	await(t, "one is active", func() bool { return a.active() || b.active() })
	if b.active() {
		a, b = b, a
	}
	const stepDowns = ha.KeptTerms + 5
	for i := range stepDowns {
		await(t, "the other follows", func() bool { return b.Snapshot().Record.Holder.ID == a.id })
		if err := a.StepDown(t.Context(), b.id, fmt.Sprintf("reason %d", i)); err != nil {
			t.Fatal(err)
		}
		await(t, "the other is active", b.active)
		a, b = b, a
	}
	terms, unreadable, err := ha.ReadTerms(t.Context(), a.conn, a.sealer)
	if err != nil || unreadable != 0 || len(terms) != ha.KeptTerms {
		t.Fatalf("%d terms, %d unreadable, %v; want %d", len(terms), unreadable, err, ha.KeptTerms)
	}
	latest := a.Snapshot().Record.Epoch
	for i, term := range terms {
		if term.Epoch != latest-uint64(i) || term.Began.IsZero() || term.Holder.ID == "" {
			t.Fatalf("term %d: %+v", i, term)
		}
	}
	if now, before := terms[0], terms[1]; now.Holder.ID != a.id || !now.Ended.IsZero() || before.Holder.ID != b.id ||
		before.End != fmt.Sprintf("reason %d", stepDowns-1) || before.Ended.IsZero() || !strings.Contains(now.Reason, b.id+" handed over") {
		t.Errorf("the last terms: %+v, %+v", now, before)
	}
	keys, err := a.conn.List(t.Context(), "hf/terms/", "", 1000)
	if err != nil || len(keys) != ha.KeptTerms {
		t.Fatalf("%d keys, %v", len(keys), err)
	}
	c.storage.Put("hf/terms/"+keys[0], []byte("garbage"))
	if terms, unreadable, err = ha.ReadTerms(t.Context(), a.conn, a.sealer); err != nil || unreadable != 1 || len(terms) != ha.KeptTerms-1 {
		t.Errorf("with a garbled one: %d terms, %d unreadable, %v", len(terms), unreadable, err)
	}
}
