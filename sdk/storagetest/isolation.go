package storagetest

import "github.com/holdfast/holdfast/sdk/storage"

// isolationCases are about several sets of data in one store.
func isolationCases() []Case {
	return []Case{
		{ID: "C-20", Profile: Core, Needs: Needs{Elsewhere: true}, Promise: "Two sets of data in one store are two worlds: neither sees, lists, changes or guards what is in the other.", Run: worldsApart},
	}
}

func worldsApart(t *T) {
	here, there := t.open(), t.openElsewhere()
	here.put("a", "here")
	here.put("only/here", "1")
	there.wantAbsent("a")
	there.wantNames("", "", 0)
	there.put("a", "there")
	there.put("only/there", "1")
	for n, name := range map[*node]string{here: "here", there: "there"} {
		n.wantValue("a", name)
		n.wantNames("", "", 0, "a", "only/")
		n.wantNames("only/", "", 0, name)
		t.wantOneWorld(n)
	}
	there.remove("a")
	there.remove("only/there")
	there.wantNames("", "", 0)
	here.wantValue("a", "here")
	here.wantNames("only/", "", 0, "here")
	if here.ha == nil {
		return
	}
	guard := here.move(record{name: "guard"}, "1")
	there.wantAbsent("guard")
	foreign := there.move(record{name: "guard"}, "1")
	if guard.version != foreign.version { // counters may meet
		there.wantConflict(guard, "2", there.op("a", "by the guard of the other"))
	}
	guard = here.move(guard, "2", here.op("a", "moved"))
	there.wantAbsent("a")
	there.move(foreign, "3", storage.Delete(there.dir+"a"))
	if got := here.wantValue("guard", "2"); got != guard.version {
		t.Errorf("a commit elsewhere moved the guard from %q to %q", guard.version, got)
	}
	here.wantValue("a", "moved")
}

// wantOneWorld checks that the top of n's listing, which it may share with other tests,
// has the directory of the case once.
func (t *T) wantOneWorld(n *node) {
	names, err := n.names("", "", 0)
	if err != nil {
		t.Fatalf("list everything: %v", err)
	}
	seen := 0
	for _, name := range names {
		if name == t.dir {
			seen++
		}
	}
	if seen != 1 {
		t.Errorf("the directory of the case is listed %d times among %d names, want once", seen, len(names))
	}
}
