package storagetest_test

import (
	"context"
	"errors"
	"os/exec"
	"testing"

	"github.com/holdfast/holdfast/sdk/storage"
	"github.com/holdfast/holdfast/sdk/storagetest"
)

// willMutants are plugins that deal with a last will in a way of their own.
func willMutants() []struct {
	name     string
	caughtBy string // empty: none, it is as it should be
	will     willPolicy
} {
	return []struct {
		name     string
		caughtBy string
		will     willPolicy
	}{
		{name: "as it should be", will: willPolicy{reads: true, own: true}},
		{name: "ends without a word", caughtBy: "W-01", will: willPolicy{never: true}},
		{name: "commits at the version at which the will was left", caughtBy: "W-01", will: willPolicy{old: true}},
		{name: "knows acknowledged Commits only", caughtBy: "W-02", will: willPolicy{}},
		{name: "commits at whatever version it finds", caughtBy: "W-03", will: willPolicy{reads: true}},
		{name: "takes the end of the connection for a death", caughtBy: "W-04", will: willPolicy{reads: true, own: true, early: true}},
	}
}

// willPolicy is how a plugin decides where to put a will, and when.
type willPolicy struct {
	never bool // not at all
	old   bool // at the version of the first Commit
	reads bool // at the version found in the store, else at the last one acknowledged
	own   bool // provided that the host has written it
	early bool // also when the host ends in order
}

func TestSuiteCatchesEveryWillMutant(t *testing.T) {
	for _, m := range willMutants() {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			h := harnessOf(honest)
			open := h.Open
			h.Program = tenureProgram{t: t, open: func(ctx context.Context) (storage.HABackend, error) {
				b, _, err := open(ctx)
				ha, _ := b.(storage.HABackend)
				return ha, err
			}, will: m.will}
			want := storagetest.Failed
			h.Only = []string{m.caughtBy}
			if m.caughtBy == "" {
				want = storagetest.Passed
				h.Only = []string{"W-01", "W-02", "W-03", "W-04"}
			}
			for _, result := range check(t, h).Results {
				if result.Status != want {
					t.Errorf("%s: %s, want %s: %q", result.Case.ID, result.Status, want, result.Failures)
				}
				t.Logf("%s: %q", result.Case.ID, result.Failures)
			}
		})
	}
}

// tenureProgram stands for a program whose hosts and plugins are processes that only sleep, and
// acts for them on the model.
type tenureProgram struct {
	storagetest.Program // nil: nothing else of it is asked for

	t    *testing.T
	open func(context.Context) (storage.HABackend, error)
	will willPolicy
}

func (p tenureProgram) KeepsData() bool { return true }

func (p tenureProgram) Describe(context.Context) (storagetest.Description, error) {
	return storagetest.Description{Name: "model", Services: []string{"holdfast.storage.v1.LastWill"}}, nil
}

func (p tenureProgram) StartTenure(ctx context.Context, key string, will []byte) (storagetest.Tenure, error) {
	b, err := p.open(ctx)
	if err != nil {
		return nil, err
	}
	s := &sleepers{
		program: p, store: b, text: will, host: exec.Command("sleep", "600"), plugin: exec.Command("sleep", "600"),
		guard: storage.Guard{Key: key}, wrote: map[storage.Version]bool{},
	}
	if err := s.host.Start(); err != nil {
		return nil, err
	}
	if err := s.plugin.Start(); err != nil {
		return nil, errors.Join(err, s.host.Process.Kill(), s.host.Wait())
	}
	return s, nil
}

// sleepers is a Tenure.
type sleepers struct {
	program      tenureProgram
	store        storage.HABackend
	text         []byte
	host, plugin *exec.Cmd

	guard        storage.Guard // its Version and Prev are those of the last Commit
	wrote        map[storage.Version]bool
	first, acked storage.Version
	sent         []storage.Version // not awaited yet
}

func (s *sleepers) LastWill() bool { return true }
func (s *sleepers) PID() int       { return s.host.Process.Pid }
func (s *sleepers) Plugin() int    { return s.plugin.Process.Pid }

func (s *sleepers) Send(value, mark string) error {
	s.guard.Value = []byte(value)
	version, err := s.store.Commit(s.program.t.Context(), s.guard, []storage.Op{storage.Put(mark, nil)})
	if err != nil {
		return err
	}
	if s.first == "" {
		s.first = version
	}
	s.guard.Version, s.guard.Prev, s.wrote[version] = version, s.guard.Value, true
	s.sent = append(s.sent, version)
	return nil
}

func (s *sleepers) Await(context.Context) error {
	s.acked, s.sent = s.sent[0], s.sent[1:]
	return nil
}

func (s *sleepers) Kill() error {
	err := s.host.Process.Kill()
	_ = s.host.Wait() // it was killed
	return errors.Join(err, s.end(true))
}

func (s *sleepers) Stop(context.Context) error {
	err := s.host.Process.Kill()
	_ = s.host.Wait() // likewise
	return errors.Join(err, s.end(s.program.will.early))
}

// end is what the plugin does at the end of its host.
func (s *sleepers) end(dead bool) error {
	ctx := s.program.t.Context()
	policy := s.program.will
	will := storage.Guard{Key: s.guard.Key, Version: s.acked, Value: s.text}
	item, err := s.store.Get(ctx, will.Key)
	if policy.old {
		will.Version = s.first
	}
	if policy.reads {
		will.Version = item.Version
	}
	if dead && !policy.never && err == nil && (!policy.own || s.wrote[item.Version]) {
		_, _ = s.store.Commit(ctx, will, nil) // refused where it does not fit
	}
	err = s.plugin.Process.Kill()
	_ = s.plugin.Wait() // it was killed
	return err
}
