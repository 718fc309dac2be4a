package inmem_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/holdfast/holdfast/plugins/inmem"
	"github.com/holdfast/holdfast/sdk"
	"github.com/holdfast/holdfast/sdk/storage"
	"github.com/holdfast/holdfast/sdk/storagetest"
)

// faulty returns a backend whose every call fails in one way, and one that sees what happened.
func faulty(t *testing.T, kind string) (failing, honest *inmem.Backend) {
	t.Helper()
	plugin := inmem.New()
	cfg := plugin.Defaults
	honest = open(t, plugin, cfg)
	cfg.FaultRate, cfg.FaultKinds = 1000, []string{kind}
	return open(t, plugin, cfg), honest
}

func TestFaultsAreWhatTheirKindSays(t *testing.T) {
	for kind, want := range map[string]struct {
		outcome storage.Outcome
		applied bool
	}{
		"refused": {storage.Unapplied, false},
		"before":  {storage.Unknown, false},
		"after":   {storage.Unknown, true},
	} {
		failing, honest := faulty(t, kind)
		err := failing.Write(t.Context(), []storage.Op{storage.Put("k", []byte("v"))})
		_, commitErr := failing.Commit(t.Context(), storage.Guard{Key: "g", Value: []byte("v")}, nil)
		for key, err := range map[string]error{"k": err, "g": commitErr} {
			if !errors.Is(err, storage.ErrUnavailable) || storage.OutcomeOf(err) != want.outcome {
				t.Errorf("%s: got %v (%v), want ErrUnavailable, %v", kind, err, storage.OutcomeOf(err), want.outcome)
			}
			if _, err := honest.Get(t.Context(), key); (err == nil) != want.applied {
				t.Errorf("%s: afterwards get %q gives %v, want it there: %t", kind, key, err, want.applied)
			}
		}
		if _, err := failing.Get(t.Context(), "k"); !errors.Is(err, storage.ErrUnavailable) {
			t.Errorf("%s: get gives %v, want ErrUnavailable", kind, err)
		}
	}
}

// The same seed makes the same calls fail.
func TestFaultsAreDecidedByTheSeed(t *testing.T) {
	history := func(seed uint64) (history string) {
		plugin := inmem.New()
		cfg := plugin.Defaults
		cfg.FaultRate, cfg.FaultSeed = 300, seed
		b := open(t, plugin, cfg)
		for i := range 200 {
			err := b.Write(t.Context(), []storage.Op{storage.Put("k", fmt.Append(nil, i))})
			history += fmt.Sprintln(err)
		}
		return history
	}
	first := history(1)
	if again := history(1); again != first {
		t.Error("the same seed makes other calls fail")
	}
	if other := history(2); other == first {
		t.Error("two seeds make the same calls fail")
	}
}

// A store that fails now and then keeps its promises all the same.
func TestContractWithFaults(t *testing.T) {
	plugin := inmem.New()
	cfg := plugin.Defaults
	cfg.FaultRate = 50
	storagetest.Run(t, storagetest.Harness{
		Expect:    everyday,
		Disturbed: true,
		Open: func(ctx context.Context) (storage.Backend, storage.Capabilities, error) {
			return plugin.Open(ctx, cfg, sdk.Env{Logger: hclog.NewNullLogger()})
		},
	})
}
