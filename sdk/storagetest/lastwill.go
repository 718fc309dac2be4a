package storagetest

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/holdfast/holdfast/sdk/storage"
)

// TenureProgram is a Program whose hosts can leave last wills with it.
type TenureProgram interface {
	Program

	// StartTenure runs a host that runs the program, both in processes of their own. The host
	// makes Commits on the record at key, which is absent, and leaves will with the
	// plugin after the first. The caller ends the Tenure with Kill or Stop.
	StartTenure(ctx context.Context, key string, will []byte) (Tenure, error)
}

// Tenure is a host that holds a record, in a process of its own.
type Tenure interface {
	// LastWill reports whether the plugin takes last wills.
	LastWill() bool
	// PID is the host's process id, and Plugin that of its plugin.
	PID() int
	Plugin() int
	// Send has the host make a Commit on top of its last one: value for the record, and an
	// empty value at key mark. It returns before that is done.
	Send(value, mark string) error
	// Await returns the outcome of the earliest Send that was not awaited yet.
	Await(ctx context.Context) error
	// Kill ends the host at once. Stop ends it in order.
	Kill() error
	Stop(ctx context.Context) error
}

// willCases are about the optional service LastWill: a plugin that does not offer it keeps
// them all.
func willCases() []Case {
	cases := []Case{
		{ID: "W-01", Promise: "When its host is killed, the plugin commits the host's last will at once, and ends.", Run: willOfKilledHost},
		{ID: "W-02", Promise: "A last will follows the host's last Commit, whichever got through: none is lost, and none comes after it.", Run: willAmongCommits},
		{ID: "W-03", Promise: "A last will does not replace what another node has committed.", Run: willOfDeposedHost},
		{ID: "W-04", Promise: "The last will of a host that is frozen, or ends in order, is not committed.", Run: willOfLivingHost},
	}
	for i := range cases {
		cases[i].Profile, cases[i].Needs = Process, Needs{HA: true, Program: true}
	}
	return cases
}

const willText = "the last will"

// tenure is a Tenure on a record of its own.
type tenure struct {
	Tenure

	t      *T
	node   *node  // another client of the store; nil if that is in the plugin's process
	record string // below the case's directory
	marks  string // likewise; ends in "/"
	count  int
	over   atomic.Bool // it was ended
}

// tenure starts a host, which is killed after the case. It ends the case if the plugin takes
// no wills, or can not be asked to.
func (t *T) tenure() *tenure {
	program, ok := t.plan.harness.Program.(TenureProgram)
	if !ok {
		t.Skipf("the harness can not start a host that leaves a will")
	}
	ctx, cancel := context.WithTimeout(t.ctx, openTimeout)
	defer cancel()
	described, err := program.Describe(ctx)
	if err != nil {
		t.Fatalf("describe: %v", err)
	}
	offers := slices.ContainsFunc(described.Services, func(s string) bool { return strings.HasSuffix(s, ".LastWill") })
	t.mu.Lock()
	number := len(t.hosts) // what an earlier host has sent may come late
	t.mu.Unlock()
	h := &tenure{t: t, record: fmt.Sprintf("guard-%d", number), marks: fmt.Sprintf("log-%d/", number)}
	if h.Tenure, err = program.StartTenure(ctx, t.dir+h.record, []byte(willText)); err != nil {
		t.Fatalf("start a host: %v", err)
	}
	t.mu.Lock()
	t.hosts = append(t.hosts, h)
	t.mu.Unlock()
	if t.keeps() {
		h.node = t.open()
	}
	if h.LastWill() != offers {
		t.Fatalf("it offers last wills: %t, and takes them: %t", offers, h.LastWill())
	}
	return h
}

// commit makes n Commits, one after the other.
func (h *tenure) commit(n int) {
	for range n {
		h.send()
		if err := h.Await(h.t.ctx); err != nil {
			h.t.Fatalf("the host's commit %d: %v", h.count, err)
		}
	}
}

func (h *tenure) send() {
	h.count++
	if err := h.Send(fmt.Sprintf("commit %d", h.count), fmt.Sprintf("%s%s%04d", h.t.dir, h.marks, h.count)); err != nil {
		h.t.Fatalf("tell the host to commit: %v", err)
	}
}

// kill ends the host, unless it was ended.
func (h *tenure) kill() {
	if h.over.Swap(true) {
		return
	}
	if err := h.Kill(); err != nil {
		h.t.Errorf("kill the host: %v", err)
	}
}

// ended waits for the end of the plugin and returns the record. It returns false if
// there is nothing more to see: no will was taken, or the record was in the process.
func (h *tenure) ended() (storage.Item, bool) {
	h.t.wantGone(h.Plugin(), "")
	if h.node == nil || !h.LastWill() {
		h.t.Logf("only the end of the process was seen: the store outlives it: %t, wills are taken: %t", h.node != nil, h.LastWill())
		return storage.Item{}, false
	}
	item, err := h.node.get(h.record)
	if err != nil {
		h.t.Fatalf("get the record: %v", err)
	}
	return item, true
}

// willAttempts is how many hosts are killed before it is said that their last wills are not
// committed: the store may be slower, now and then, than the second in which a will is of use.
const willAttempts = 4

func willOfKilledHost(t *T) {
	for range willAttempts {
		h := t.tenure()
		h.commit(3)
		began := time.Now()
		h.kill()
		item, ok := h.ended()
		t.Logf("the plugin was gone %v after the kill", time.Since(began).Round(time.Millisecond))
		if !ok {
			return
		}
		h.wantMarks(3)
		if string(item.Value) == willText {
			return
		}
		t.Logf("the record is %s, not the last will", short(item.Value))
	}
	t.Errorf("none of %d killed hosts had its last will committed", willAttempts)
}

// wantMarks checks that the Commits from the first to number want have left their mark, and no other.
func (h *tenure) wantMarks(want int) {
	names, err := h.node.names(h.t.dir+h.marks, "", 0)
	if err != nil || len(names) != want {
		h.t.Errorf("%d commits have left their mark, %v, want %d", len(names), err, want)
	}
}

func willAmongCommits(t *T) {
	committed := 0
	for range willAttempts {
		item, ok := t.killAmongCommits()
		if !ok {
			return
		}
		if string(item.Value) == willText {
			committed++
		}
	}
	if committed == 0 {
		t.Errorf("none of %d hosts that were killed among their commits had its last will committed", willAttempts)
	}
	t.Logf("%d of %d last wills were committed", committed, willAttempts)
}

// killAmongCommits kills a host that has more to commit than it can, and returns the record.
func (t *T) killAmongCommits() (storage.Item, bool) {
	const commits = 400
	h := t.tenure()
	h.commit(2)
	for range commits {
		h.send()
	}
	acknowledged := 2
	for range t.rng.IntN(20) {
		if err := h.Await(t.ctx); err != nil {
			t.Fatalf("a commit of the host: %v", err)
		}
		acknowledged++
	}
	h.kill()
	item, ok := h.ended()
	if !ok {
		return item, false
	}
	names, err := h.node.names(t.dir+h.marks, "", 0)
	if err != nil {
		t.Fatalf("list the marks: %v", err)
	}
	n := len(names)
	if n < acknowledged || n > h.count || names[n-1] != fmt.Sprintf("%04d", n) {
		t.Errorf("%d commits have left their mark, want at least the %d that were acknowledged, and no gap", n, acknowledged)
	}
	if string(item.Value) == willText { // else the last commit may be on its way still
		t.pause(grace)
		if later, err := h.node.get(h.record); err != nil || later.Version != item.Version || !bytes.Equal(later.Value, item.Value) {
			t.Errorf("after the last will the record became %s, %v", short(later.Value), err)
		}
		h.wantMarks(n)
	}
	return item, true
}

func willOfDeposedHost(t *T) {
	h := t.tenure()
	h.commit(2)
	var taken record
	if h.node != nil {
		held := record{name: h.record, value: "commit 2"}
		held.version = h.node.wantValue(h.record, held.value)
		taken = h.node.move(held, "of another node")
	}
	h.kill()
	if item, ok := h.ended(); ok && (item.Version != taken.version || string(item.Value) != taken.value) {
		t.Errorf("another node had taken over; the record is %s, want %s", short(item.Value), short([]byte(taken.value)))
	}
}

func willOfLivingHost(t *T) {
	h := t.tenure()
	h.commit(2)
	t.signal(h.PID(), syscall.SIGSTOP)
	t.pause(10 * grace)
	if h.node != nil {
		h.node.wantValue(h.record, "commit 2")
	}
	if !runs(h.Plugin()) {
		t.Errorf("the plugin of a frozen host has ended")
	}
	t.signal(h.PID(), syscall.SIGCONT)
	h.over.Store(true)
	if err := h.Stop(t.ctx); err != nil {
		t.Errorf("stop the host: %v", err)
	}
	if item, ok := h.ended(); ok && string(item.Value) != "commit 2" {
		t.Errorf("the host ended in order; the record is %s, want %q", short(item.Value), "commit 2")
	}
}
