package storagetest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"
	"syscall"
	"time"

	"github.com/holdfast/holdfast/sdk/storage"
)

// deathCases are about processes that are killed or frozen.
func deathCases() []Case {
	cases := []Case{
		{ID: "P-06", Promise: "A killed process is replaced, and calls go on.", Run: killedIsReplaced},
		{ID: "P-08", Promise: "Calls to a frozen process end at their deadline; it is replaced, and calls go on.", Run: frozenIsReplaced},
		{ID: "P-09", Promise: "When the host is killed its plugin ends soon.", Run: diesWithHost},
		{ID: "P-13", Promise: "Processes that are started, killed, replaced and closed leave nothing behind: no file, no process, no socket.", Run: restartsLeakNothing},
		{ID: "P-20", Needs: Needs{HA: true}, Promise: "After a kill in the middle of Commits the last version known still decides: nothing acknowledged is lost, nothing is applied twice.", Run: killedMidCommit},
		{ID: "P-21", Needs: Needs{HA: true}, Promise: "A Commit held up in a frozen process is not applied after another node's.", Run: frozenMidCommit},
		{ID: "P-22", Promise: "A frozen process is closed within seconds, and nothing of it is left.", Run: closeFrozen},
		{ID: "P-23", Needs: Needs{HA: true}, Promise: "Commits and reads are linearizable while processes are frozen and killed.", Run: linearizableUnderFire},
	}
	for i := range cases {
		cases[i].Profile, cases[i].Needs.Program = Process, true
	}
	return cases
}

// keeps reports whether data outlives the process.
func (t *T) keeps() bool { return t.plan.harness.Program.KeepsData() }

func killedIsReplaced(t *T) {
	p, n := t.start()
	for i := range 3 {
		n.put("a", fmt.Sprint(i))
		pid := p.PID()
		t.signal(pid, syscall.SIGKILL)
		item, err := n.get("a") // waits for the next process
		switch {
		case t.keeps() && (err != nil || string(item.Value) != fmt.Sprint(i)):
			t.Fatalf("get after the process was killed: %s, %v, want %q", short(item.Value), err, fmt.Sprint(i))
		case !t.keeps() && !errors.Is(err, storage.ErrNotFound):
			t.Fatalf("get after the process was killed: %s, %v, want ErrNotFound, for the data was in it", short(item.Value), err)
		}
		t.replaced(p, pid)
		n.write(n.op("b", "v")) // disturbed or not, it works again
		n.wantValue("b", "v")
	}
}

func frozenIsReplaced(t *T) {
	p, n := t.start()
	n.put("a", "v")
	pid := p.PID()
	t.signal(pid, syscall.SIGSTOP)
	t.pause(grace) // a thread on another processor may still answer
	for name, call := range n.calls() {
		ctx, cancel := context.WithTimeout(t.ctx, 100*time.Millisecond)
		err := call(ctx) // one that does not end is reported
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) && p.PID() == pid {
			t.Errorf("%s to a frozen process with a deadline of 100ms: got %v, want context.DeadlineExceeded", name, err)
		}
	}
	began := time.Now()
	if !t.replaced(p, pid) {
		t.signal(pid, syscall.SIGCONT)
		return
	}
	t.Logf("replaced %v after the last call", time.Since(began).Round(time.Millisecond))
	n.put("a", "w")
	n.wantValue("a", "w")
	t.wantGone(pid, "")
}

func diesWithHost(t *T) {
	ctx, cancel := context.WithTimeout(t.ctx, openTimeout)
	defer cancel()
	pid, kill, err := t.plan.harness.Program.StartUnderHost(ctx)
	if err != nil {
		t.Fatalf("start a host: %v", err)
	}
	if !runs(pid) {
		t.Errorf("the host's plugin, process %d, does not run", pid)
	}
	if err := kill(); err != nil {
		t.Errorf("kill the host: %v", err)
	}
	t.wantGone(pid, "")
}

func restartsLeakNothing(t *T) {
	if runtime.GOOS != "linux" {
		t.Skipf("open files can not be counted on %s", runtime.GOOS)
	}
	live := func(round int) {
		p, n := t.start()
		pid, socket := p.PID(), p.Socket()
		t.replace(p)
		n.put("a", fmt.Sprint(round))
		n.remove("a")
		t.wantGone(pid, socket)
		pid, socket = p.PID(), p.Socket()
		if err := n.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
		t.wantGone(pid, socket)
	}
	live(0)
	before := openFiles(t)
	for round := range 10 {
		live(round)
	}
	t.eventually(t.patience(), fmt.Sprintf("the host has about %d open files again", before), func() bool { return openFiles(t) <= before+5 })
}

func openFiles(t *T) int {
	files, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatalf("count open files: %v", err)
	}
	return len(files)
}

func killedMidCommit(t *T) {
	const kills = 5
	p, n := t.start()
	r := n.move(record{name: "guard"}, "start")
	acknowledged, total := 0, 0
	for range kills {
		var killing sync.WaitGroup
		pid, delay := p.PID(), time.Duration(t.rng.Int64N(int64(30*time.Millisecond)))
		killing.Go(func() {
			t.pause(delay)
			t.kill(pid)
		})
		for killed := false; !killed; {
			value := fmt.Sprintf("commit %d", acknowledged)
			g, ops := n.guard(r, value), []storage.Op{n.op(fmt.Sprintf("log/%06d", acknowledged), value)}
			version, err := n.Commit(t.ctx, g, ops)
			if err != nil {
				killed = true
				if !t.keeps() {
					break
				}
				if version, err = n.again(g, ops); err != nil {
					t.Fatalf("the commit that the kill interrupted, made again at the last version known: %v", err)
				}
			}
			r = record{name: "guard", version: version, value: value}
			acknowledged++
			total++
			killed = killed || p.PID() != pid
		}
		killing.Wait()
		if !t.keeps() { // a version of another life must match nothing
			t.replaced(p, pid)
			n.wantConflict(r, "of an earlier process")
			n.wantAbsent("guard")
			r, acknowledged = n.move(record{name: "guard"}, "start"), 0
		}
	}
	if got := n.wantValue("guard", r.value); got != r.version {
		t.Errorf("the guard is at %q, the last commit returned %q", got, r.version)
	}
	names, err := n.names(t.dir+"log/", "", 0)
	if err != nil || len(names) != acknowledged {
		t.Errorf("%d commits left their mark, %v, want the %d that were acknowledged", len(names), err, acknowledged)
	}
	t.Logf("%d commits over %d kills", total, kills)
}

// beside returns another client of the data that p has.
func (t *T) beside(p Instance) *node {
	if t.keeps() {
		return t.open()
	}
	b, err := p.Attach(t.ctx)
	if err != nil {
		t.Fatalf("configure one more backend in the process: %v", err)
	}
	return t.adopt(b, p.Capabilities(), t.plan.ha)
}

func frozenMidCommit(t *T) {
	p, frozen := t.start()
	other := t.beside(p)
	r := frozen.move(record{name: "guard"}, "start")
	pid := p.PID()
	t.signal(pid, syscall.SIGSTOP)
	t.pause(grace) // a thread on another processor may still answer
	type answer struct {
		version storage.Version
		err     error
	}
	commit := func(n *node, who string) <-chan answer {
		done := make(chan answer, 1)
		go func() { // ends with the call, which is bounded
			v, err := n.Commit(t.ctx, n.guard(r, who), []storage.Op{n.op("by/"+who, "")})
			done <- answer{v, err}
		}()
		return done
	}
	held := commit(frozen, "held")
	t.pause(grace)
	next := commit(other, "next")
	t.pause(6 * grace) // shorter than the host's patience with a frozen process
	t.signal(pid, syscall.SIGCONT)
	first, second := <-held, <-next
	t.pause(6 * grace)
	item, err := other.get("guard")
	if err != nil {
		t.Fatalf("get the guard: %v", err)
	}
	names, err := other.names(t.dir+"by/", "", 0)
	if err == nil && len(names) == 0 && t.disturbed() && first.err != nil && second.err != nil {
		return // neither came through
	}
	if err != nil || len(names) != 1 || names[0] != string(item.Value) {
		t.Fatalf("the guard says %q, and the ops of %q were applied, %v; want those of one commit", item.Value, names, err)
	}
	winner, loser := second, first
	if names[0] == "held" {
		winner, loser = first, second
	}
	if winner.err == nil && winner.version != item.Version || loser.err == nil || storage.OutcomeOf(winner.err) == storage.Unapplied {
		t.Errorf("%s was applied; its commit returned %v and the other's %v", names[0], winner.err, loser.err)
	}
}

func closeFrozen(t *T) {
	p, n := t.start()
	n.put("a", "v")
	n.remove("a")
	pid, socket := p.PID(), p.Socket()
	t.signal(pid, syscall.SIGSTOP)
	began := time.Now()
	if err := n.Close(); errors.Is(err, errHangs) { // it may say that it was not orderly
		t.Errorf("close of a frozen process: %v", err)
	}
	t.Logf("closed within %v", time.Since(began).Round(time.Millisecond))
	t.wantGone(pid, socket)
}

// mostKills is how many processes are killed: the host waits longer before each restart.
const mostKills = 3

// linearizableUnderFire uses several processes, some of which are frozen and killed. Where the
// data is in the process it is frozen only, for less than the host's patience.
func linearizableUnderFire(t *T) {
	var instances []Instance
	var nodes []*node
	for len(nodes) < 3 {
		if len(instances) > 0 && !t.keeps() {
			b, err := instances[0].Attach(t.ctx)
			if err != nil {
				t.Fatalf("configure one more backend in the process: %v", err)
			}
			nodes = append(nodes, t.adopt(b, instances[0].Capabilities(), t.plan.ha))
			continue
		}
		p, n := t.start()
		instances, nodes = append(instances, p), append(nodes, n)
	}
	t.disturbs.Store(true)
	firing := make(chan struct{})
	var fire sync.WaitGroup
	rng := t.random()
	fire.Go(func() {
		for i := 0; ; i++ {
			target := instances[rng.IntN(len(instances))]
			select {
			case <-firing:
				return
			case <-time.After(time.Duration(20+rng.IntN(60)) * time.Millisecond):
			}
			pid := target.PID()
			switch {
			case pid == 0: // it is being replaced
			case t.keeps() && i < mostKills*4 && i%4 == 3:
				t.kill(pid)
			default:
				_ = syscall.Kill(pid, syscall.SIGSTOP)
				t.pause(time.Duration(10+rng.IntN(50)) * time.Millisecond)
				_ = syscall.Kill(pid, syscall.SIGCONT)
			}
		}
	})
	defer fire.Wait()
	defer close(firing)
	linearizableGuard(t, nodes, load{calls: 100, hasty: 5, pace: 25 * time.Millisecond})
}
