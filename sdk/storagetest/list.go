package storagetest

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/holdfast/holdfast/sdk/storage"
)

// listCases are about directories.
func listCases() []Case {
	return []Case{
		{ID: "C-09", Profile: Core, Promise: "List shows one level in byte order: directories end in a slash, and a name that is both is shown in both forms.", Run: listOneLevel},
		{ID: "C-10", Profile: Core, Promise: "Pages of a directory of 10,000 names lose none and repeat none, and go on after a name that is gone.", Run: listPages},
		{ID: "C-11", Profile: Core, Promise: "A listing taken while others write has every name that was there all the time, and no name twice.", Run: listWhileWriting},
		{ID: "C-12", Profile: Core, Promise: "A directory is gone with its last key, and never takes a new key with it.", Run: directoriesVanish},
	}
}

func listOneLevel(t *T) {
	n := t.open()
	for _, name := range []string{"foo", "foo/bar", "foo/baz/x", "foo/baz/y", "foobar", "fo-o/x", "foo0", "foo!", "Z", "\u00e9", "10", "9"} {
		n.put(name, "v")
	}
	n.wantNames("", "", 0, "10", "9", "Z", "fo-o/", "foo", "foo!", "foo/", "foo0", "foobar", "\u00e9")
	n.wantNames("foo/", "", 0, "bar", "baz/")
	n.wantNames("foo/baz/", "", 0, "x", "y")
	n.wantNames("foob/", "", 0)
	n.wantNames("foobar/", "", 0)
	n.wantNames("none/", "", 0)
	n.wantNames("", "foo", 2, "foo!", "foo/")
	n.wantNames("", "foo/", 2, "foo0", "foobar")
	n.wantNames("", "fo-o", 1, "fo-o/")
	n.wantNames("", "\u00e9", 0)
	n.wantNames("", "\U0010FFFF", 5)
}

func listPages(t *T) {
	const count, page = 10_000, 1_000
	n := t.open()
	names := make([]string, count)
	for i := range names {
		names[i] = fmt.Sprintf("n%05d", i)
	}
	n.fill(names, "v")
	n.put(names[3]+"/child", "v") // in both forms
	want := slices.Insert(slices.Clone(names), 4, names[3]+"/")
	var got []string
	for after := ""; ; after = got[len(got)-1] {
		next, err := n.names(n.dir, after, page)
		if err != nil || len(next) > page {
			t.Fatalf("list after %q: got %d names, %v, want at most %d", after, len(next), err, page)
		}
		if len(next) == 0 {
			break
		}
		got = append(got, next...)
		if len(got) > len(want) {
			break
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("pages: got %d names, want %d; they differ at %d", len(got), len(want), firstDifference(got, want))
	}
	all, err := n.names(n.dir, "", 0)
	if err != nil || !slices.Equal(all, want) {
		t.Errorf("list without a limit: got %d names, %v, want %d; they differ at %d", len(all), err, len(want), firstDifference(all, want))
	}
	n.remove(names[5000])
	n.wantNames("", names[5000], 2, names[5001], names[5002])
	n.wantNames("", names[4999]+"-absent", 1, names[5001])
	n.wantNames("", names[count-1], 10)
}

func firstDifference(a, b []string) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	return min(len(a), len(b))
}

func listWhileWriting(t *T) {
	const count, rounds = 40, 8
	reader, writer := t.open(), t.open()
	var stable, flicker []string
	for i := range count {
		stable = append(stable, fmt.Sprintf("s%02d", i))
		flicker = append(flicker, fmt.Sprintf("s%02d-f", i))
	}
	reader.fill(stable, "v")
	var writing sync.WaitGroup
	stop := make(chan struct{})
	writing.Go(func() {
		for i := range rounds {
			for _, name := range flicker {
				if i%2 == 0 {
					writer.put(name, "v")
				} else {
					writer.remove(name)
				}
			}
		}
	})
	go func() { writing.Wait(); close(stop) }() // ends with the writer
	for busy := true; busy; {
		select {
		case <-stop:
			busy = false
		default:
		}
		got, err := reader.names(reader.dir, "", 0)
		if err != nil {
			t.Errorf("list: %v", err)
			break
		}
		left := slices.DeleteFunc(slices.Clone(got), func(name string) bool { return slices.Contains(flicker, name) })
		if !slices.Equal(left, stable) || !slices.IsSorted(got) || len(slices.Compact(slices.Clone(got))) != len(got) {
			t.Errorf("got %q, want all of s00 to s%02d once, in order", got, count-1)
			break
		}
	}
	writing.Wait()
}

func directoriesVanish(t *T) {
	n := t.open()
	n.put("a/b/c", "v")
	n.put("a/d", "v")
	n.remove("a/b/c")
	n.wantNames("a/", "", 0, "d")
	n.remove("a/d")
	n.wantNames("", "", 0)
	n.put("x", "v")
	n.put("x/y/z", "v")
	n.remove("x/y/z")
	n.wantNames("", "", 0, "x") // it is a key too
	n.wantValue("x", "v")
	n.put("x/y", "v")
	n.remove("x")
	n.wantNames("", "", 0, "x/")
	n.write(storage.Delete(n.dir+"x/y"), n.op("p/q/r", "v"))
	n.write(storage.Delete(n.dir+"p/q/r"), n.op("p/q/s", "v"))
	n.wantNames("p/q/", "", 0, "s")
	n.remove("p/q/s")
	n.wantNames("", "", 0)

	// Two nodes fill and empty the same directory at once.
	var group sync.WaitGroup
	for i, node := range t.openAll(2) {
		group.Go(func() {
			name := fmt.Sprintf("race/d/%d", i)
			for range 40 {
				node.put(name, "v")
				node.wantValue(name, "v")
				node.remove(name)
			}
		})
	}
	group.Wait()
	if left, err := n.names(n.dir, "", 0); err != nil || len(left) > 0 {
		t.Errorf("after the last key was deleted: list gives %s, %v, want nothing", strings.Join(left, " "), err)
	}
}
