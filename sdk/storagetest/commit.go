package storagetest

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/holdfast/holdfast/sdk/storage"
)

// commitCases are about Commit.
func commitCases() []Case {
	cases := []Case{
		{ID: "H-01", Promise: "Commit creates an absent guard once; the second to try gets ErrConflict.", Run: createsOnce},
		{ID: "H-02", Timeout: 20 * time.Minute, Promise: "Every Commit gives the guard a version it never had, also if the value repeats or the key was deleted.", Run: versionsAreNew},
		{ID: "H-03", Promise: "A Commit at another version is refused with ErrConflict and applies nothing, also if the guard already has the value.", Run: conflictAppliesNothing},
		{ID: "H-04", Promise: "Of 64 Commits at one version exactly one succeeds, and its ops are those applied.", Run: oneRacerWins},
		{ID: "H-06", Promise: "A Commit at the declared limits is applied, one over them is refused with ErrTooLarge and changes nothing.", Run: commitLimits},
		{ID: "H-07", Promise: "A Commit that names a key twice, or its guard among the ops, is refused with ErrUnsupported and changes nothing.", Run: commitKeyTwice},
		{ID: "H-08", Promise: "A Commit deletes what is absent, makes and empties directories, and moves a guard anywhere.", Run: commitShapes},
		{ID: "H-17", Promise: "Get, Commit and Watch tell the same version of a state.", Run: versionsAgree},
		{ID: "H-22", Promise: "A version that the guard never had is a conflict, whatever its bytes.", Run: foreignVersions},
		{ID: "H-23", Promise: "Transfers that several nodes make by reading, then committing under one guard, lose nothing and make nothing.", Run: transfersKeepTheSum},
	}
	for i := range cases {
		cases[i].Profile, cases[i].Needs = HA, Needs{HA: true}
	}
	return cases
}

func createsOnce(t *T) {
	a, b := t.open(), t.open()
	absent := record{name: "guard"}
	first := a.move(absent, "1", a.op("a", "x"))
	b.wantConflict(absent, "2", b.op("a", "y"))
	a.wantConflict(absent, "1", b.op("a", "y"))
	b.wantValue("a", "x")
	if got := b.wantValue("guard", "1"); got != first.version {
		t.Errorf("get says version %q, commit said %q", got, first.version)
	}
	b.remove("guard")
	a.wantConflict(first, "3") // absent is another version
	a.wantAbsent("guard")
	a.move(absent, "4")
}

func conflictAppliesNothing(t *T) {
	n := t.open()
	n.put("kept", "1")
	n.put("dir/kept", "1")
	stale := n.move(record{name: "guard"}, "1")
	now := n.move(stale, "2")
	ops := []storage.Op{n.op("a", "x"), storage.Delete(n.dir + "kept"), n.op("c/d", "x"), storage.Delete(n.dir + "dir/kept"), n.op("e", "")}
	for i := range ops { // every op in every position
		turned := slices.Concat(ops[i:], ops[:i])
		for _, value := range []string{"3", "2", "1"} { // "2": it is there already
			n.wantConflict(stale, value, turned...)
			n.wantConflict(record{name: "guard"}, value, turned...)
			n.wantConflict(record{name: "other", version: stale.version, value: "1"}, value, turned...)
		}
	}
	n.wantNames("", "", 0, "dir/", "guard", "kept")
	n.wantValue("kept", "1")
	n.wantValue("dir/kept", "1")
	if got := n.wantValue("guard", "2"); got != now.version {
		t.Errorf("refused commits moved the guard from %q to %q", now.version, got)
	}
	n.move(now, "4", ops...)
	n.wantNames("", "", 0, "a", "c/", "e", "guard")
}

func oneRacerWins(t *T) {
	const racers = 64
	nodes := t.openAll(4)
	r := nodes[0].move(record{name: "guard"}, "start")
	for round := range 3 {
		var mu sync.Mutex // guards won
		var won []string
		var group sync.WaitGroup
		start := make(chan struct{})
		for i := range racers {
			n := nodes[i%len(nodes)]
			group.Go(func() {
				<-start
				me := fmt.Sprintf("%d.%d", round, i)
				_, err := n.settle(n.guard(r, me), []storage.Op{n.op("winner", me), n.op("ran/"+me, "")})
				switch {
				case err == nil:
					mu.Lock()
					won = append(won, me)
					mu.Unlock()
				case !errors.Is(err, storage.ErrConflict):
					t.Errorf("racer %s: got %v, want success or ErrConflict", me, err)
				}
			})
		}
		close(start)
		group.Wait()
		item, err := nodes[0].get("guard")
		if err != nil {
			t.Fatalf("get the guard: %v", err)
		}
		if len(won) != 1 || won[0] != string(item.Value) {
			t.Fatalf("round %d: %q succeeded, and the guard says %q; want one winner", round, won, item.Value)
		}
		nodes[1].wantValue("winner", won[0])
		nodes[2].wantNames("ran/", "", 0, won[0])
		r = record{name: "guard", version: item.Version, value: won[0]}
		nodes[3].remove("ran/" + won[0])
	}
}

func commitLimits(t *T) {
	n := t.open()
	r := n.move(record{name: "guard"}, "1")
	refused := func(what, value string, ops []storage.Op) {
		_, err := n.Commit(t.ctx, n.guard(r, value), ops)
		n.wantTooLarge(what, err)
		n.wantNames("", "", 0, "guard")
		if got := n.wantValue("guard", r.value); got != r.version {
			t.Errorf("%s moved the guard", what)
		}
	}
	ops := n.manyOps(n.limits.MaxOps + 1)
	refused("a commit of one op too many", "2", ops)
	refused("a guard value over the limit", strings.Repeat("v", n.limits.MaxValueBytes+1), nil)
	refused("a value over the limit", "2", []storage.Op{storage.Put(n.dir+"a", make([]byte, n.limits.MaxValueBytes+1))})
	r = n.move(r, "2", ops[:n.limits.MaxOps]...) // the guard does not count
	if got, err := n.names(n.dir, "", 0); err != nil || len(got) != n.limits.MaxOps+1 {
		t.Fatalf("after a commit of %d ops: list gives %d names, %v", n.limits.MaxOps, len(got), err)
	}
	if err := n.removeAll(t.ctx, n.dir); err != nil {
		t.Fatalf("clean up: %v", err)
	}

	r = n.move(record{name: "guard"}, strings.Repeat("g", n.largest("guard")))
	r = n.move(r, "3")
	full := n.fullBatch(n.limits.MaxBatchBytes - len(n.dir+"guard"+"4"))
	if len(full) > n.limits.MaxOps { // then no batch reaches MaxBatchBytes
		t.Logf("a batch of %d bytes needs more than %d ops", n.limits.MaxBatchBytes, n.limits.MaxOps)
		return
	}
	refused("a commit one byte over the limit", "44", full)
	r = n.move(r, "4", full...)
	for _, op := range full {
		n.wantValue(strings.TrimPrefix(op.Key, n.dir), string(op.Value))
	}
	n.wantValue("guard", "4")
}

func commitKeyTwice(t *T) {
	n := t.open()
	r := n.move(record{name: "guard"}, "1")
	for _, ops := range [][]storage.Op{
		{n.op("a", "1"), n.op("b", "1"), n.op("a", "2")},
		{n.op("a", "1"), n.op("guard", "2")},
		{storage.Delete(n.dir + "guard")},
	} {
		_, err := n.Commit(t.ctx, n.guard(r, "2"), ops)
		if !errors.Is(err, storage.ErrUnsupported) || storage.OutcomeOf(err) != storage.Unapplied {
			t.Errorf("got %v, want ErrUnsupported, not applied", err)
		}
	}
	n.wantNames("", "", 0, "guard")
	n.move(r, "2") // the refused ones did not move it
}

func commitShapes(t *T) {
	n := t.open()
	r := n.move(record{name: "deep/er/guard"}, "1", storage.Delete(n.dir+"none"), n.op("a/b/c", "x"))
	n.wantValue("a/b/c", "x")
	r = n.move(r, "", storage.Delete(n.dir+"a/b/c"), storage.Delete(n.dir+"a/none/x")) // an empty value is one
	n.wantNames("", "", 0, "deep/")
	r = n.move(r, "3", n.op("deep/er/guard/child", "x"), n.op("deep", "x"))
	n.wantNames("deep/er/", "", 0, "guard", "guard/")
	r = n.move(r, "4", storage.Delete(n.dir+"deep/er/guard/child"), storage.Delete(n.dir+"deep"))
	n.wantNames("deep/er/", "", 0, "guard")
	n.move(r, "5")
	other := n.move(record{name: "guard 2"}, "1", n.op("deep/er/guard", "by another guard"))
	n.wantConflict(r, "6")
	n.wantValue("deep/er/guard", "by another guard")
	n.move(other, "2", storage.Delete(n.dir+"deep/er/guard"))
	n.wantNames("", "", 0, "guard 2")
}

func transfersKeepTheSum(t *T) {
	const clients, accounts, each, balance = 4, 4, 12, 100
	nodes := t.openAll(clients)
	var open []storage.Op
	for i := range accounts {
		open = append(open, nodes[0].op(fmt.Sprintf("account%d", i), strconv.Itoa(balance)))
	}
	nodes[0].move(record{name: "guard"}, "opened", open...)
	var group sync.WaitGroup
	for id, n := range nodes {
		rng := t.random()
		group.Go(func() {
			for i := range each {
				from, to, amount := rng.IntN(accounts), rng.IntN(accounts-1), rng.IntN(20)
				if to >= from {
					to++
				}
				n.transfer(fmt.Sprintf("%d.%d", id, i), from, to, amount)
			}
		})
	}
	group.Wait()
	sum := 0
	for i := range accounts {
		sum += nodes[0].balance(i)
	}
	if sum != accounts*balance {
		t.Errorf("the sum of all accounts is %d, want %d", sum, accounts*balance)
	}
	if names, err := nodes[0].names(t.dir+"done/", "", 0); err != nil || len(names) != clients*each {
		t.Errorf("%d transfers are on record, %v, want %d", len(names), err, clients*each)
	}
}

// transfer moves amount between two accounts, however often others come between.
func (n *node) transfer(id string, from, to, amount int) {
	for attempt := 0; ; attempt++ {
		item, err := n.get("guard")
		if err != nil {
			n.t.Fatalf("get the guard: %v", err)
		}
		r := record{name: "guard", version: item.Version, value: string(item.Value)}
		a, b := n.balance(from), n.balance(to)
		_, err = n.settle(n.guard(r, fmt.Sprintf("%s attempt %d", id, attempt)), []storage.Op{
			n.op(fmt.Sprintf("account%d", from), strconv.Itoa(a-amount)),
			n.op(fmt.Sprintf("account%d", to), strconv.Itoa(b+amount)),
			n.op("done/"+id, ""),
		})
		switch {
		case err == nil || n.done(id):
			return
		case !errors.Is(err, storage.ErrConflict):
			n.t.Fatalf("transfer %s: %v", id, err)
		}
	}
}

// done reports whether a transfer is on record: in a disturbed store it may have been made by a
// Commit that was answered with a conflict when it was sent again.
func (n *node) done(id string) bool {
	if !n.t.disturbed() {
		return false
	}
	_, err := n.get("done/" + id)
	return err == nil
}

func (n *node) balance(account int) int {
	item, err := n.get(fmt.Sprintf("account%d", account))
	if err != nil {
		n.t.Fatalf("get account %d: %v", account, err)
	}
	balance, err := strconv.Atoi(string(item.Value))
	if err != nil {
		n.t.Fatalf("account %d holds %s", account, short(item.Value))
	}
	return balance
}
