package storagetest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/holdfast/holdfast/sdk/storage"
)

// linkCommitCases are about Commits whose way to the store is cut or held up.
func linkCommitCases() []Case {
	cases := []Case{
		{ID: "H-24", Promise: "A Commit whose connection to the store is cut after any of its messages, made again, is applied exactly once.", Run: cutOnTheWayToTheStore},
		{ID: "H-25", Promise: "A Commit that is held up on its way and arrives after another node's changes nothing.", Run: heldOnTheWayToTheStore},
	}
	for i := range cases {
		cases[i].Profile, cases[i].Needs = HA, Needs{HA: true, Link: true}
	}
	return cases
}

// socketCases are about the connection between a host and its plugin.
func socketCases() []Case {
	return []Case{
		{ID: "P-24", Profile: Process, Needs: Needs{HA: true, Program: true}, Promise: "A Commit whose connection to the plugin is cut after any of its messages, made again, is applied exactly once.", Run: cutOnTheWayToThePlugin},
	}
}

// mostMessages is the most that is cut after in one direction; a Commit has fewer, but for what
// others say on the same connection.
const mostMessages = 12

func cutOnTheWayToTheStore(t *T) {
	near := t.open()
	link := t.openLink()
	n := t.openBy(link.Open)
	r := near.move(record{name: "guard"}, "start")
	rounds := newCutRounds(t, near, r)
	for _, direction := range []Direction{ToStore, FromStore} {
		for messages := range mostMessages {
			n.back()
			cut := t.across(link, direction, messages, func() { rounds.commit(n) })
			rounds.settle()
			if !cut { // it has no more messages
				break
			}
		}
	}
	rounds.check()
}

func heldOnTheWayToTheStore(t *T) {
	const rounds = 5
	near := t.open()
	link := t.openLink()
	n := t.openBy(link.Open)
	r := near.move(record{name: "guard"}, "start")
	for i := range rounds {
		n.back()
		late := fmt.Sprintf("late/%d", i)
		link.Hold()
		done := make(chan error, 1)
		go func() { // ends with the call, which is bounded
			_, err := n.Commit(t.ctx, n.guard(r, late), []storage.Op{n.op(late, "")})
			done <- err
		}()
		t.pause(grace)
		r = near.move(r, fmt.Sprintf("round %d", i))
		link.Heal()
		if err := <-done; err == nil || !errors.Is(err, storage.ErrConflict) && !outage(err) {
			t.Errorf("round %d: a commit at a version that is over: got %v, want ErrConflict", i, err)
		}
		if got := near.wantValue("guard", r.value); got != r.version {
			t.Fatalf("round %d: the guard left the version of the commit that came first", i)
		}
		near.wantAbsent(late)
	}
}

func cutOnTheWayToThePlugin(t *T) {
	p, near := t.start()
	r := near.move(record{name: "guard"}, "start")
	rounds := newCutRounds(t, near, r)
	dir, err := os.MkdirTemp("", "st") // short, for the socket's sake
	if err != nil {
		t.Fatalf("make a directory for a socket: %v", err)
	}
	defer func() { _ = os.RemoveAll(dir) }() // it is empty
	for _, direction := range []Direction{ToStore, FromStore} {
		for messages := range mostMessages {
			cut := rounds.overSocket(p, filepath.Join(dir, "s"), direction, messages)
			rounds.settle()
			if !cut {
				break
			}
		}
	}
	rounds.check()
}

// cutRounds are Commits of one guard, one after the other. Nobody else moves it.
type cutRounds struct {
	t     *T
	near  *node  // its way is not cut
	r     record // the guard as it was last seen
	count int
	told  map[storage.Outcome]int

	// The latest Commit.
	guard   storage.Guard
	ops     []storage.Op
	version storage.Version // what it returned
	err     error
}

func newCutRounds(t *T, near *node, r record) *cutRounds {
	return &cutRounds{t: t, near: near, r: r, told: make(map[storage.Outcome]int)}
}

func (c *cutRounds) log() string { return fmt.Sprintf("log/%03d", c.count) }

// commit makes the next Commit through n, once.
func (c *cutRounds) commit(n *node) {
	c.count++
	value := fmt.Sprintf("round %d", c.count)
	c.guard, c.ops = n.guard(c.r, value), []storage.Op{n.op(c.log(), value)}
	c.version, c.err = n.Commit(c.t.ctx, c.guard, c.ops)
	c.told[storage.OutcomeOf(c.err)]++
	if c.err != nil && !outage(c.err) {
		c.t.Errorf("round %d: a commit over a link that breaks: got %v, want ErrUnavailable", c.count, c.err)
	}
}

// overSocket is commit over a connection to the plugin of its own. It reports whether that
// was cut.
func (c *cutRounds) overSocket(p Instance, path string, direction Direction, messages int) (cut bool) {
	proxy, err := NewProxy(c.t.ctx, "unix", path, p.Socket())
	if err != nil {
		c.t.Fatalf("put a proxy before the plugin: %v", err)
	}
	defer func() {
		if err := proxy.Close(); err != nil {
			c.t.Errorf("%v", err)
		}
	}()
	ctx, cancel := context.WithTimeout(c.t.ctx, openTimeout)
	defer cancel()
	b, err := p.AttachAt(ctx, path)
	if err != nil {
		c.t.Fatalf("attach to the plugin: %v", err)
	}
	n := c.t.adopt(b, p.Capabilities(), true)
	cut = c.t.across(proxy, direction, messages, func() { c.commit(n) })
	_ = n.Close() // its connection was cut
	return cut
}

// settle makes the Commit again if it failed, beside the link, and looks for its marks.
func (c *cutRounds) settle() {
	if storage.OutcomeOf(c.err) == storage.Unapplied {
		c.near.wantAbsent(c.log())
	}
	version := c.version
	if c.err != nil {
		var err error
		if version, err = c.near.again(c.guard, c.ops); err != nil {
			c.t.Fatalf("round %d: the commit that ended with %v, made again: %v", c.count, c.err, err)
		}
	}
	value := string(c.guard.Value)
	at := c.near.wantValue("guard", value)
	if at != version {
		c.t.Fatalf("round %d: the guard is at %q, and the commit said %q: it was applied twice", c.count, at, version)
	}
	c.near.wantValue(c.log(), value)
	c.r = record{name: "guard", version: at, value: value}
}

// check waits a moment for what is late, and counts the marks.
func (c *cutRounds) check() {
	c.t.pause(10 * grace)
	if got := c.near.wantValue("guard", c.r.value); got != c.r.version {
		c.t.Errorf("the guard left version %q, for %q, with nobody there", c.r.version, got)
	}
	names, err := c.near.names(c.t.dir+"log/", "", 0)
	if err != nil || len(names) != c.count {
		c.t.Errorf("%d commits left their mark, %v, want %d", len(names), err, c.count)
	}
	c.t.Logf("of %d commits %d succeeded, %d were not applied, of %d nobody knew", c.count,
		c.told[storage.Applied], c.told[storage.Unapplied], c.told[storage.Unknown])
}
