package storagetest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfast/holdfast/sdk/storage"
)

const (
	// defaultPatience is Harness.Patience if it is not set.
	defaultPatience = time.Minute
	// openTimeout bounds Harness.Open, and cleanTimeout what follows a case.
	openTimeout  = 2 * time.Minute
	cleanTimeout = 3 * time.Minute
	// grace is how long a case looks for what must not happen.
	grace = 50 * time.Millisecond
)

// patience bounds each call that has no deadline of its own.
func (h Harness) patience() time.Duration {
	if h.Patience > 0 {
		return h.Patience
	}
	return defaultPatience
}

// overrun is how long after its context a call may still take, and how long Close may take.
// A call that takes longer is left behind.
func (h Harness) overrun() time.Duration { return h.patience() / 4 }

func (t *T) patience() time.Duration { return t.plan.harness.patience() }
func (t *T) overrun() time.Duration  { return t.plan.harness.overrun() }

// T is one run of a case: what it works with, and where it reports. Its methods may be
// called by several goroutines at once.
type T struct {
	ctx  context.Context //nolint:containedctx // lives as long as the run
	plan *plan
	dir  string // ends in "/"; below it the case may do as it likes
	rng  *rand.Rand

	disturbs atomic.Bool // the case itself makes calls fail

	mu       sync.Mutex // guards the following
	failures []string
	notes    []string
	skipped  bool
	opened   []*node
	links    []Link
	hosts    []*tenure
}

// disturbed reports whether calls may find the store unavailable.
func (t *T) disturbed() bool { return t.plan.harness.Disturbed || t.disturbs.Load() }

// Context ends when the case has to.
func (t *T) Context() context.Context { return t.ctx }

// Errorf reports that the promise is broken; the case goes on.
func (t *T) Errorf(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	const most = 20 // one mistake often shows in a thousand calls
	if len(t.failures) < most {
		t.failures = append(t.failures, fmt.Sprintf(format, args...))
	}
}

// Fatalf is Errorf and ends the goroutine that calls it.
func (t *T) Fatalf(format string, args ...any) {
	t.Errorf(format, args...)
	runtime.Goexit()
}

// Logf adds a note to the result, passed or not.
func (t *T) Logf(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.notes = append(t.notes, fmt.Sprintf(format, args...))
}

// Skipf ends the case because it can not be decided on this machine. It has not passed.
func (t *T) Skipf(format string, args ...any) {
	t.Logf(format, args...)
	t.mu.Lock()
	t.skipped = true
	t.mu.Unlock()
	runtime.Goexit()
}

// Failed reports whether Errorf or Fatalf was called.
func (t *T) Failed() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.failures) > 0
}

// open returns a new client, which is closed after the case.
func (t *T) open() *node {
	return t.openBy(t.plan.harness.Open)
}

// openBy is open for another way to open one.
func (t *T) openBy(open func(context.Context) (storage.Backend, storage.Capabilities, error)) *node {
	ctx, cancel := context.WithTimeout(t.ctx, openTimeout)
	defer cancel()
	b, capabilities, err := open(ctx)
	if err != nil {
		t.Fatalf("open a client: %v", err)
	}
	return t.adopt(b, capabilities, t.plan.ha)
}

// openElsewhere returns a client of another set of data.
func (t *T) openElsewhere() *node {
	n := t.openBy(t.plan.harness.Elsewhere)
	n.elsewhere = true
	return n
}

// openLink returns a new link, which is healed and closed after the case.
func (t *T) openLink() Link {
	ctx, cancel := context.WithTimeout(t.ctx, openTimeout)
	defer cancel()
	l, err := t.plan.harness.Link(ctx)
	if err != nil {
		t.Fatalf("make a link to the store: %v", err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.links = append(t.links, l)
	return l
}

// adopt makes b a client of the case.
func (t *T) adopt(b storage.Backend, capabilities storage.Capabilities, ha bool) *node {
	n := &node{
		client: client{backend: b, limits: capabilities.Limits, checked: t.plan.harness.Checked, t: t},
		dir:    t.dir,
	}
	if ha {
		n.ha, _ = b.(storage.HABackend)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.opened = append(t.opened, n)
	return n
}

// openAll returns n new clients.
func (t *T) openAll(n int) []*node {
	nodes := make([]*node, n)
	for i := range nodes {
		nodes[i] = t.open()
	}
	return nodes
}

// random returns a source of its own for one goroutine, decided by the seed.
func (t *T) random() *rand.Rand { return rand.New(rand.NewPCG(t.rng.Uint64(), t.rng.Uint64())) }

// eventually polls until ok, for at most limit.
func (t *T) eventually(limit time.Duration, what string, ok func() bool) bool {
	deadline := time.Now().Add(limit)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-t.ctx.Done():
			t.Errorf("not before the case had to end: %s", what)
			return false
		case <-tick.C:
		}
		if time.Now().After(deadline) {
			t.Errorf("not within %v: %s", limit, what)
			return false
		}
	}
	return true
}

// pause waits for d, or until the case has to end.
func (t *T) pause(d time.Duration) {
	pause(t.ctx, d)
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// endHosts kills those that still run, frozen or not.
func (t *T) endHosts() {
	t.mu.Lock()
	hosts := slices.Clone(t.hosts)
	t.mu.Unlock()
	for _, h := range hosts {
		h.kill()
	}
}

// finish removes what the case wrote and closes its clients. ctx is that of the suite, for
// the case's has ended.
func (t *T) finish(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanTimeout)
	defer cancel()
	t.endHosts()
	t.mu.Lock()
	opened, links := t.opened, t.links
	t.mu.Unlock()
	for _, l := range links {
		l.Heal()
	}
	opened = slices.DeleteFunc(slices.Clone(opened), func(n *node) bool { return n.closed })
	cleaned := make(map[bool]bool) // by elsewhere: the first client of each set of data does it
	for _, n := range opened {
		if cleaned[n.elsewhere] {
			continue
		}
		cleaned[n.elsewhere] = true
		if err := n.removeAll(ctx, t.dir); err != nil && !t.Failed() {
			t.Errorf("clean up: %v", err)
		}
	}
	for _, n := range opened {
		if err := n.Close(); err != nil && !t.disturbed() {
			t.Errorf("close a client: %v", err)
		}
	}
	for _, l := range links {
		if err := l.Close(); err != nil {
			t.Errorf("close a link: %v", err)
		}
	}
}

// removeAll deletes all keys below dir.
func (n *node) removeAll(ctx context.Context, dir string) error {
	var names []string
	err := n.insist(ctx, func(ctx context.Context) (err error) {
		names, err = n.List(ctx, dir, "", 0)
		return err
	})
	if err != nil {
		return fmt.Errorf("list: %w", err)
	}
	var ops []storage.Op
	flush := func() error {
		err := n.insist(ctx, func(ctx context.Context) error { return n.Write(ctx, ops) })
		ops = ops[:0]
		return err
	}
	for _, name := range names {
		if strings.HasSuffix(name, "/") {
			if err := n.removeAll(ctx, dir+name); err != nil {
				return err
			}
			continue
		}
		if ops = append(ops, storage.Delete(dir+name)); len(ops) == n.batch() {
			if err := flush(); err != nil {
				return fmt.Errorf("delete: %w", err)
			}
		}
	}
	if len(ops) == 0 {
		return nil
	}
	return flush()
}
