package zookeeper

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/go-zookeeper/zk"

	"github.com/holdfast/holdfast/sdk/storage"
)

// nodesBelow returns every node below path, and fails for directories that are empty.
func nodesBelow(t *testing.T, b declared, path string) []string {
	t.Helper()
	names := raw(t, b, func(zc *zk.Conn) ([]string, error) {
		names, _, err := zc.Children(path)
		if errors.Is(err, zk.ErrNoNode) {
			err = nil
		}
		return names, err
	})
	var found []string
	for _, name := range names {
		below := nodesBelow(t, b, path+"/"+name)
		if len(below) == 0 && name[0] == directoryMark {
			t.Errorf("directory %s/%s is empty", path, name)
		}
		found = append(append(found, path+"/"+name), below...)
	}
	return found
}

// Writers that know nothing of each other put and delete the same few keys in the same
// directories. Whatever comes of it, no directory stays empty and none is missing.
func testDirectoriesVanish(t *testing.T, b declared) {
	keys := []string{"a", "a/b", "a/b/c", "a/b/d", "a/e", "f/g/h/i", "f/g/h/j", "f/k"}
	clients := []declared{b}
	for range 3 {
		clients = append(clients, openAt(t, b.address, func(c *Config) { c.Path = b.root }))
	}
	for round := range 15 {
		var writers sync.WaitGroup
		for i, client := range clients {
			random := rand.New(rand.NewPCG(uint64(round), uint64(i)))
			writers.Go(func() {
				for range 6 {
					var ops []storage.Op
					for _, k := range random.Perm(len(keys))[:1+random.IntN(3)] {
						if random.IntN(5) < 2 {
							ops = append(ops, storage.Put(keys[k], []byte(keys[k])))
						} else {
							ops = append(ops, storage.Delete(keys[k]))
						}
					}
					if err := client.Write(t.Context(), ops); err != nil {
						t.Errorf("write: %v", err)
					}
				}
			})
		}
		writers.Wait()
		nodesBelow(t, b, b.root)
	}
	var ops []storage.Op
	for _, key := range keys {
		ops = append(ops, storage.Delete(key))
	}
	mustWrite(t, b, ops...)
	if left := nodesBelow(t, b, b.root); len(left) > 0 {
		t.Errorf("after everything was deleted there is %q", left)
	}
	if stat(t, b, b.root) == nil {
		t.Error("the path itself is gone")
	}
}

// Deletes of keys that do not exist, in and below directories that do and do not.
func testAbsentDeletes(t *testing.T, b declared) {
	mustWrite(t, b, storage.Put("x/1", nil))
	for name, ops := range map[string][]storage.Op{
		"nothing there":               {storage.Delete("n")},
		"two below one missing":       {storage.Delete("m/a/b"), storage.Delete("m/a/c"), storage.Delete("m/d"), storage.Delete("m")},
		"below one that is made":      {storage.Put("p/q", nil), storage.Delete("p/r"), storage.Delete("p/s/t"), storage.Delete("p/s/u")},
		"beside the last one":         {storage.Delete("x/1"), storage.Delete("x/2"), storage.Delete("x/3/4")},
		"last one, and another comes": {storage.Delete("p/q"), storage.Put("p/v", nil), storage.Delete("p/w/x")},
		"key and directory":           {storage.Put("p/v/deep", nil), storage.Delete("p/v")},
	} {
		if err := b.Write(t.Context(), ops); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for _, op := range ops {
			_, err := b.Get(t.Context(), op.Key)
			if (op.Kind == storage.OpPut) != (err == nil) || err != nil && !errors.Is(err, storage.ErrNotFound) {
				t.Errorf("%s: after op %d on %q: %v", name, op.Kind, op.Key, err)
			}
		}
		nodesBelow(t, b, b.root)
	}
}

func testOddKeys(t *testing.T, b declared) {
	keys := []string{
		" ", "a b", "a%20b", "~", "~~", "~00007e", "\u00e9", "e\u0301", "\u65e5\u672c", "\u2028", "\u202ea", "\ufffd", "\ue000",
		"\U0001f511", "\U0010ffff", "zookeeper", "zookeeper/config", "...", "..a", ".a/.b", "=", "+", "=a", "+a/=b", "quota", `"\`,
		strings.Repeat("k", storage.MaxKeyBytes), strings.Repeat("\U0001f511/", storage.MaxKeyBytes/5) + "x",
		strings.Repeat("d/", storage.MaxKeyBytes/2-1) + "de",
	}
	for _, key := range keys {
		if err := storage.ValidateKey(key); err != nil {
			t.Fatalf("%q: %v", key, err)
		}
		mustWrite(t, b, storage.Put(key, []byte(key)))
	}
	want := []string{}
	for _, key := range keys {
		if item, err := b.Get(t.Context(), key); err != nil || string(item.Value) != key {
			t.Errorf("get %q: %q, %v, want itself", key, item.Value, err)
		}
		if first, _, below := strings.Cut(key, "/"); below {
			key = first + "/"
		}
		want = append(want, key)
	}
	slices.Sort(want)
	want = slices.Compact(want)
	if got, err := b.List(t.Context(), "", "", 0); err != nil || !slices.Equal(got, want) {
		t.Errorf("list: %q, %v, want %q", got, err, want)
	}
	for _, key := range keys {
		mustWrite(t, b, storage.Delete(key))
	}
	if left := nodesBelow(t, b, b.root); len(left) > 0 {
		t.Errorf("after everything was deleted there is %q", left)
	}
}

// init must see what something else has put below the path.
func testForeignNodes(t *testing.T, b declared) {
	mustWrite(t, b, storage.Put("ours", nil))
	for _, name := range []string{"core", "_keyring", "=bad", "=empty"} {
		raw(t, b, func(zc *zk.Conn) (string, error) { return zc.Create(b.root+"/"+name, nil, 0, b.acl) })
	}
	want := []string{"_keyring", "bad", "core", "empty", "ours"}
	if got, err := b.List(t.Context(), "", "", 0); err != nil || !slices.Equal(got, want) {
		t.Errorf("list: %q, %v, want %q", got, err, want)
	}
	raw(t, b, func(zc *zk.Conn) (*zk.Stat, error) { return zc.Set(b.root+"/=bad", []byte("garbage"), -1) })
	item, err := b.Get(t.Context(), "bad")
	if err != nil || string(item.Value) != "garbage" {
		t.Errorf("get of a node without our header: %q, %v, want it as it is", item.Value, err)
	}
	version, err := b.Commit(t.Context(), storage.Guard{Key: "bad", Version: item.Version, Prev: item.Value, Value: []byte("repaired")}, nil)
	if err != nil {
		t.Fatalf("replace it: %v", err)
	}
	if item, err := b.Get(t.Context(), "bad"); err != nil || string(item.Value) != "repaired" || item.Version != version {
		t.Errorf("get of what replaced it: %+v, %v, want version %s", item, err, version)
	}
}

func testRootOfTree(t *testing.T, b declared) {
	mustWrite(t, b, storage.Put("zookeeper/x", nil), storage.Put("zookeeper", nil))
	want := []string{"tests", "zookeeper", "zookeeper/"}
	got, err := b.List(t.Context(), "", "", 0)
	got = slices.DeleteFunc(got, func(name string) bool { return name == "tests" }) // there or not yet
	if err != nil || !slices.Equal(got, want[1:]) {
		t.Errorf("list: %q, %v, want %q", got, err, want[1:])
	}
	mustWrite(t, b, storage.Delete("zookeeper/x"), storage.Delete("zookeeper"))
	if got, err := b.List(t.Context(), "zookeeper/", "", 0); err != nil || len(got) > 0 {
		t.Errorf("list of what was deleted: %q, %v", got, err)
	}
}

// The largest batches that are declared, of the shapes that take most room.
func testLimits(t *testing.T, b declared) {
	l := b.limits
	key := func(i int, filler string) string {
		name := fmt.Sprintf("dir/%03d", i)
		return name + strings.Repeat(filler, (l.MaxKeyBytes-len(name))/len(filler))
	}
	guard := storage.Guard{Key: "guard", Value: []byte("1")}
	for name, shape := range map[string]struct {
		ops    int
		filler string
	}{
		"one value": {2, "k"}, "many values": {l.MaxOps, "k"}, "many escaped values": {l.MaxOps, "\U0001f511"}, "three-byte escapes": {l.MaxOps, "\ufffd"},
	} {
		var ops []storage.Op
		left := l.MaxBatchBytes - len(guard.Key) - len(guard.Value)
		for i := range shape.ops {
			left -= len(key(i, shape.filler))
		}
		for i := range shape.ops {
			size := min(left/(shape.ops-i), l.MaxValueBytes)
			if shape.ops == 2 {
				size = min(left, l.MaxValueBytes)
			}
			left -= size
			ops = append(ops, storage.Put(key(i, shape.filler), make([]byte, size)))
		}
		if left != 0 {
			t.Fatalf("%s: %d bytes are left", name, left)
		}
		if err := l.CheckBatch(&guard, ops); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		guard.Version = mustCommit(t, b, guard, ops...) // create
		guard.Version = mustCommit(t, b, guard, ops...) // set
		for i := range ops {
			ops[i] = storage.Delete(ops[i].Key)
		}
		guard.Version = mustCommit(t, b, guard, ops...) // delete
		guard.Version = mustCommit(t, b, guard, ops...) // delete what is absent
	}
	var deep []storage.Op
	for i := range 20 {
		deep = append(deep, storage.Put(fmt.Sprintf("%d", i)+strings.Repeat("/d", 500), nil))
	}
	_, err := b.Commit(t.Context(), guard, deep)
	if !errors.Is(err, storage.ErrTooLarge) || storage.OutcomeOf(err) != storage.Unapplied {
		t.Errorf("20 keys in 10,000 new directories: %v, want ErrTooLarge", err)
	}
}
