package storagetest_test

import (
	"slices"
	"testing"
	"time"

	"github.com/holdfast/holdfast/sdk/storage"
	"github.com/holdfast/holdfast/sdk/storagetest"
)

// A mutant is a backend that breaks one promise. caughtBy is the case that is there to
// notice it. A case that catches nothing proves nothing.
type mutant struct {
	name     string
	caughtBy string
	make     func(modelClient) storage.Backend
	// only says that no other case notices it: without its case the mutant lives.
	only bool
	// alter changes the harness, if what is broken is not a client.
	alter func(*storagetest.Harness)
}

// mutants are wrapped around a client each; what several clients of one store share is
// in the model, so the ones with a memory break a promise between nodes.
func mutants() []mutant {
	return []mutant{
		{name: "drops the last write", caughtBy: "C-02", make: func(c modelClient) storage.Backend { return &droppingWrites{modelClient: c} }},
		{name: "reads from its own memory", caughtBy: "C-13", make: func(c modelClient) storage.Backend { return &caching{modelClient: c, seen: map[string]storage.Item{}} }},
		{name: "now and then reads what was", caughtBy: "C-15", make: func(c modelClient) storage.Backend {
			return &lagging{modelClient: c, before: map[string]storage.Item{}}
		}},
		{name: "deletes only what is there", caughtBy: "C-03", make: func(c modelClient) storage.Backend { return strictDelete{c} }},
		{name: "takes empty for absent", caughtBy: "C-04", make: func(c modelClient) storage.Backend { return emptyAbsent{c} }, only: true},
		{name: "ends values at a zero byte", caughtBy: "C-05", make: func(c modelClient) storage.Backend { return zeroEnds{c} }},
		{name: "lies about its largest value", caughtBy: "C-06", make: func(c modelClient) storage.Backend { return smallValues{c} }},
		{name: "cuts values that are too large", caughtBy: "C-06", make: func(c modelClient) storage.Backend { return cutting{c} }},
		{name: "folds case", caughtBy: "C-07", make: func(c modelClient) storage.Backend { return aliasing{c, foldCase} }},
		{name: "normalises unicode", caughtBy: "C-07", make: func(c modelClient) storage.Backend { return aliasing{c, compose} }},
		{name: "lists in no order", caughtBy: "C-09", make: func(c modelClient) storage.Backend { return reversed{c} }},
		{name: "truncates long listings", caughtBy: "C-10", make: func(c modelClient) storage.Backend { return truncating{c} }, only: true},
		{name: "starts over after a name that is gone", caughtBy: "C-10", make: func(c modelClient) storage.Backend { return startingOver{c} }},
		{name: "leaves directories behind", caughtBy: "C-12", make: func(c modelClient) storage.Backend { return &hoarding{modelClient: c, dirs: map[string]bool{}} }},
		{name: "ignores the context", caughtBy: "C-16", make: func(c modelClient) storage.Backend { return deaf{c} }},
		{name: "tears a write that is cut short", caughtBy: "C-17", make: func(c modelClient) storage.Backend { return tearing{c} }},
		{name: "leaks a goroutine per call", caughtBy: "C-18", make: func(c modelClient) storage.Backend { return leaking{c} }},
		{name: "hangs at close", caughtBy: "C-25", make: func(c modelClient) storage.Backend { return hanging{c} }},
		{name: "applies half a batch", caughtBy: "T-01", make: func(c modelClient) storage.Backend { return half{c} }},
		{name: "applies op by op", caughtBy: "T-06", make: func(c modelClient) storage.Backend { return opByOp{c} }},
		{name: "lets reads see a batch in part", caughtBy: "T-05", make: func(c modelClient) storage.Backend { return opByOp{c} }},
		{name: "lies about its largest batch", caughtBy: "T-04", make: func(c modelClient) storage.Backend { return smallBatches{c} }},
		{name: "creates over a guard", caughtBy: "H-01", make: func(c modelClient) storage.Backend { return overwriting{c} }},
		{name: "keeps the version of an equal value", caughtBy: "H-02", make: newEqual},
		{name: "starts versions over after a delete", caughtBy: "H-02", make: newRecount},
		{name: "ignores the guard", caughtBy: "H-03", make: func(c modelClient) storage.Backend { return unguarded{c} }},
		{name: "applies, then checks", caughtBy: "H-03", make: func(c modelClient) storage.Backend { return applyFirst{c} }},
		{name: "succeeds because the value already matches", caughtBy: "H-03", make: func(c modelClient) storage.Backend { return contented{c} }},
		{name: "checks, then applies", caughtBy: "H-04", make: func(c modelClient) storage.Backend { return checkFirst{c} }},
		{name: "lies about its largest commit", caughtBy: "H-06", make: func(c modelClient) storage.Backend { return smallCommits{c} }},
		{name: "fails at a version it does not know", caughtBy: "H-22", make: func(c modelClient) storage.Backend { return picky{c} }},
		{name: "says not applied, and is", caughtBy: "H-11", make: func(c modelClient) storage.Backend { return denying{c} }},
		{name: "tries again by itself", caughtBy: "H-11", make: func(c modelClient) storage.Backend { return retrying{c} }},
		{name: "applies what was given up", caughtBy: "H-12", make: func(c modelClient) storage.Backend { return tardy{c} }},
		{name: "watches by polling and sleeping through", caughtBy: "H-19", make: func(c modelClient) storage.Backend { return restless{c} }},
		{name: "loses the last event", caughtBy: "H-20", make: func(c modelClient) storage.Backend { return losing{c} }},
		{name: "watches on when the context ends", caughtBy: "H-21", make: func(c modelClient) storage.Backend { return stubborn{c} }},
		{name: "shares its data with another path", caughtBy: "C-20", make: honest, alter: func(h *storagetest.Harness) { h.Elsewhere = h.Open }, only: true},
		{name: "gives a store up that was away", caughtBy: "C-21", make: func(c modelClient) storage.Backend { return &resigning{modelClient: c} }},
		{name: "makes one call at a time", caughtBy: "C-22", make: func(c modelClient) storage.Backend { return &queueing{modelClient: c} }},
		{name: "takes a lost answer for a refusal", caughtBy: "C-23", make: func(c modelClient) storage.Backend { return optimistic{c} }},
		{name: "keeps what it reads", caughtBy: "C-24", make: func(c modelClient) storage.Backend { return &collecting{modelClient: c} }},
		{name: "sends a commit again that had no answer", caughtBy: "H-24", make: func(c modelClient) storage.Backend { return insisting{c} }},
		{name: "renews the version of a commit that was held up", caughtBy: "H-25", make: func(c modelClient) storage.Backend { return refreshing{c} }},
		{name: "holds a lock while it watches", caughtBy: "H-16", make: func(c modelClient) storage.Backend { return &locking{modelClient: c} }},
	}
}

// harness is one for m.
func (m mutant) harness() storagetest.Harness {
	h := harnessOf(m.make)
	if m.alter != nil {
		m.alter(&h)
	}
	return h
}

// Every mutant is caught by the case that is meant for it.
func TestSuiteCatchesEveryMutant(t *testing.T) {
	for _, m := range mutants() {
		t.Run(m.name, func(t *testing.T) {
			if m.caughtBy != "C-18" && m.caughtBy != "C-24" { // they count goroutines and memory, and want no others
				t.Parallel()
			}
			h := m.harness()
			h.Patience = 4 * time.Second // what hangs is given up
			h.Only = []string{m.caughtBy}
			report := check(t, h)
			if report.Count(storagetest.Failed) != 1 {
				t.Errorf("not caught by %s: %+v", m.caughtBy, report.Results)
				return
			}
			t.Logf("%s: %s", m.caughtBy, report.Results[0].Failures[0])
		})
	}
}

// Without the case that is meant for it a mutant lives: no case is there for show.
func TestMutantsLiveWithoutTheirCase(t *testing.T) {
	lived := 0
	for _, m := range mutants() {
		if !m.only {
			continue
		}
		lived++
		t.Run(m.name, func(t *testing.T) {
			h := m.harness()
			for _, c := range storagetest.Cases() {
				if c.ID != m.caughtBy && slices.Contains(everyday, c.Profile) {
					h.Only = append(h.Only, c.ID)
				}
			}
			for _, result := range check(t, h).Results {
				if result.Status != storagetest.Passed {
					t.Errorf("caught by %s too: %v", result.Case.ID, result.Failures)
				}
			}
		})
	}
	if lived < 3 {
		t.Errorf("shown for %d mutants, want at least 3", lived)
	}
}
