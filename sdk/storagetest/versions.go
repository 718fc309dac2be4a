package storagetest

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/holdfast/holdfast/sdk/storage"
)

const (
	// manyCommits are what H-02 makes, unless the store is slow: then it ends after
	// commitBudget, but not with less than fewCommits.
	manyCommits  = 10_000
	fewCommits   = 1_000
	commitBudget = 20 * time.Second
)

func versionsAreNew(t *T) {
	n := t.open()
	seen := make(map[storage.Version]int, manyCommits)
	r := record{name: "guard"}
	began := time.Now()
	budget := commitBudget
	if t.disturbed() { // then most of the time goes by without a store
		budget = 0
	}
	slow := func(made int) bool {
		return made >= fewCommits && time.Since(began) > budget && !t.plan.harness.Long
	}
	made := 0
	for ; made < manyCommits && !slow(made); made++ {
		r = n.move(r, "same")
		if before, again := seen[r.version]; again {
			t.Fatalf("commit %d returned version %q, which commit %d returned before", made, r.version, before)
		}
		seen[r.version] = made
		if made%100 == 99 {
			n.remove("guard")
			r = record{name: "guard"}
		}
		if made%100 == 50 { // a write without a guard, of the same value and of another
			n.put("guard", "same")
			n.put("guard", "else")
			r = record{name: "guard", version: n.wantValue("guard", "else"), value: "else"}
			if before, again := seen[r.version]; again {
				t.Fatalf("a write gave version %q, which commit %d returned before", r.version, before)
			}
			seen[r.version] = made
		}
	}
	t.Logf("%d commits in %v", made, time.Since(began).Round(time.Millisecond))
	if made < manyCommits {
		t.Logf("for a slow store that is enough; a long run makes %d", manyCommits)
	}
}

func versionsAgree(t *T) {
	a, b := t.open(), t.open()
	r := a.move(record{name: "guard"}, "1", a.op("data", "1"))
	for i := range 10 {
		item, err := b.watch("guard", "")
		if err != nil || item.Version != r.version || string(item.Value) != r.value {
			t.Fatalf("watch: got %q at %q, %v, want %q at %q", item.Value, item.Version, err, r.value, r.version)
		}
		if got := b.wantValue("guard", r.value); got != r.version {
			t.Fatalf("get says version %q, commit said %q", got, r.version)
		}
		if again := b.wantValue("guard", r.value); again != r.version {
			t.Fatalf("a second get says version %q, the first %q", again, r.version)
		}
		// A key written by an op has a version too, and can be a guard.
		data := record{name: "data", version: a.wantValue("data", fmt.Sprint(i+1)), value: fmt.Sprint(i + 1)}
		b.move(data, fmt.Sprint(i+2))
		b.wantConflict(data, "late")
		r = a.move(r, "v"+strconv.Itoa(i))
	}
}

func foreignVersions(t *T) {
	n := t.open()
	r := n.move(record{name: "guard"}, "1", n.op("kept", "1"))
	for _, version := range []storage.Version{
		"x", "0", "-1", "1", "none such", "99999999999999999999", "\x00", "\xff\xfe", "\x00\x00\x00\x00\x00\x00\x00\x01",
		r.version + "0", "0" + r.version, r.version + " ", r.version[:len(r.version)-1] + "\x01",
		storage.Version(strings.Repeat("v", storage.MaxVersionBytes)),
	} {
		if version == r.version { // a backend may count like this
			continue
		}
		forged := record{name: "guard", version: version, value: "1"}
		n.wantConflict(forged, "2", storage.Delete(n.dir+"kept"))
		forged.name = "absent"
		n.wantConflict(forged, "2", storage.Delete(n.dir+"kept"))
	}
	n.wantNames("", "", 0, "guard", "kept")
	n.move(r, "2")
}
