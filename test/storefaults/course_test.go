package storefaults

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	hostplugin "github.com/holdfast/holdfast/host/plugin"
	"github.com/holdfast/holdfast/sdk/storage"
	"github.com/holdfast/holdfast/test/harness"
)

// trial is a fault that one store is made to have while the plugin runs.
type trial struct {
	site
	inflict, relieve func()
	words            []string // what the messages say besides the store and its address
	readsGoOn        bool     // only writes fail
	readsMayGoOn     bool     // likewise, or reads fail too
	brief            bool     // it is over when inflict returns: nothing needs to fail
}

// workers write all the time, each below a record of its own.
const workers = 4

// check runs the fault's course: before, during and after it.
func (tr trial) check(t *testing.T) {
	t.Helper()
	store := tr.open(t)
	c := &committer{store: store, name: "main"}
	for range 3 {
		c.one(t)
	}
	watched := watchFor(t, store, c.guard.Key, c.guard.Version)
	stop := work(t, store)

	tr.inflict()
	if !tr.brief {
		tr.awaitErrors(t, store, c)
	}
	tr.relieve()

	for range 3 {
		c.one(t)
	}
	if err := <-watched; err != nil && !typed(err) {
		t.Errorf("a watch during the fault: %v", err)
	}
	again := watchFor(t, store, c.guard.Key, "another version")
	if err := <-again; err != nil {
		t.Errorf("a watch after the fault: %v", err)
	}
	for _, w := range append(stop(), c) {
		w.check(t)
	}
}

// awaitErrors waits until writes, and reads if they fail at all, give the errors they should.
func (tr trial) awaitErrors(t *testing.T, store *hostplugin.Storage, c *committer) {
	t.Helper()
	harness.Eventually(t, "a commit fails as it should", func() error {
		next := c.next()
		version, err := store.Commit(within(t), next, c.ops())
		_ = c.take(within(t), next, version, err) // made again, or in c.failed
		return tr.refusal(err)
	})
	_, getErr := store.Get(within(t), c.guard.Key)
	_, listErr := store.List(within(t), "log/main/", "", 10)
	for what, err := range map[string]error{"get": getErr, "list": listErr} {
		switch {
		case err == nil && (tr.readsGoOn || tr.readsMayGoOn):
		case tr.readsGoOn:
			t.Errorf("%s: %v, want reads to go on", what, err)
		default:
			if wrong := tr.refusal(err); wrong != nil {
				t.Errorf("%s: %v", what, wrong)
			}
		}
	}
}

// refusal says what is wrong with the error of a call that had to fail.
func (tr trial) refusal(err error) error {
	switch {
	case err == nil:
		return errors.New("the call succeeds")
	case !errors.Is(err, storage.ErrUnavailable) || errors.Is(err, storage.ErrConflict):
		return fmt.Errorf("it is not ErrUnavailable: %w", err)
	}
	return tr.clear(err, tr.words)
}

// work starts the workers. The function returned stops them.
func work(t *testing.T, store *hostplugin.Storage) (stop func() []*committer) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var group sync.WaitGroup
	var all []*committer
	for i := range workers {
		w := &committer{store: store, name: fmt.Sprintf("worker%d", i)}
		all = append(all, w)
		group.Go(func() {
			for ctx.Err() == nil && w.failed == nil {
				_ = w.try(context.WithoutCancel(ctx)) // made again, or in w.failed
				if _, err := store.List(context.WithoutCancel(ctx), "log/"+w.name+"/", "", 5); err != nil && !typed(err) {
					w.failed = fmt.Errorf("list: %w", err)
				}
			}
		})
	}
	stopped := sync.OnceFunc(func() { cancel(); group.Wait() })
	t.Cleanup(stopped)
	return func() []*committer {
		stopped()
		return all
	}
}

// watchFor waits in the background until key is at another version than seen, or the plugin
// gives up.
func watchFor(t *testing.T, store *hostplugin.Storage, key string, seen storage.Version) <-chan error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 4*harness.Patience)
	done := make(chan error, 1)
	go func() {
		defer cancel()
		_, err := store.Watch(ctx, key, seen)
		done <- err
	}()
	t.Cleanup(cancel)
	return done
}

// committer commits entry after entry as the host does: what has an unknown outcome is sent
// again as it was, and a conflict after that is resolved by reading.
type committer struct {
	store    *hostplugin.Storage
	name     string
	guard    storage.Guard
	n        int // entries acknowledged
	unknown  bool
	versions []storage.Version
	failed   error // something that must not happen
}

func (c *committer) next() storage.Guard {
	c.guard.Key = "record/" + c.name
	next := c.guard
	next.Prev, next.Value = c.guard.Value, fmt.Appendf(nil, "%s %06d", c.name, c.n+1)
	return next
}

func (c *committer) ops() []storage.Op {
	return []storage.Op{storage.Put(fmt.Sprintf("log/%s/%06d", c.name, c.n+1), []byte("entry"))}
}

// try makes one attempt at the next entry and reports why it is not there yet.
func (c *committer) try(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	next := c.next()
	version, err := c.store.Commit(ctx, next, c.ops())
	return c.take(ctx, next, version, err)
}

// take takes in the answer to an attempt, and reports why the entry is not there yet.
func (c *committer) take(ctx context.Context, next storage.Guard, version storage.Version, err error) error {
	if errors.Is(err, storage.ErrConflict) && c.unknown {
		version, err = settle(ctx, c.store, next, err)
	}
	switch {
	case err == nil && slices.Contains(c.versions, version):
		c.failed = fmt.Errorf("%s: version %q comes a second time", c.name, version)
	case err == nil:
		c.guard, c.unknown = next, false
		c.guard.Version, c.guard.Prev = version, nil
		c.versions = append(c.versions, version)
		c.n++
	case !typed(err):
		c.failed = fmt.Errorf("%s, entry %d: %w", c.name, c.n+1, err)
	default:
		c.unknown = c.unknown || storage.OutcomeOf(err) == storage.Unknown
	}
	return errors.Join(err, c.failed)
}

// settle returns the version of the record if it is at next: of several attempts at it, whose
// outcomes were unknown, one was applied. Else it returns the conflict that says otherwise.
func settle(ctx context.Context, store *hostplugin.Storage, next storage.Guard, conflict error) (storage.Version, error) {
	item, err := store.Get(ctx, next.Key)
	switch {
	case err != nil:
		return "", err
	case string(item.Value) != string(next.Value):
		return "", conflict
	}
	return item.Version, nil
}

// one commits the next entry.
func (c *committer) one(t *testing.T) {
	t.Helper()
	started := time.Now()
	harness.Eventually(t, c.name+" commits", func() error { return c.try(t.Context()) })
	if took := time.Since(started); took > time.Second {
		t.Logf("%s: entry %d took %v", c.name, c.n, took.Round(time.Millisecond))
	}
}

// check checks that every entry acknowledged is there, and none beyond the one under way.
func (c *committer) check(t *testing.T) {
	t.Helper()
	if c.failed != nil {
		t.Error(c.failed)
	}
	var names []string
	harness.Eventually(t, "list what "+c.name+" wrote", func() (err error) {
		names, err = c.store.List(within(t), "log/"+c.name+"/", "", 0)
		return err
	})
	if len(names) < c.n || len(names) > c.n+1 || !c.unknown && len(names) > c.n {
		t.Errorf("%s: the store has %d entries, %d were acknowledged", c.name, len(names), c.n)
	}
	for i, name := range names {
		if want := fmt.Sprintf("%06d", i+1); name != want {
			t.Fatalf("%s: entry %d is %s, want %s", c.name, i+1, name, want)
		}
	}
}
