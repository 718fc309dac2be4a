package zookeeper

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/holdfast/holdfast/sdk/storage"
	"github.com/holdfast/holdfast/test/servers"
)

// fillDirectory puts n keys into dir/ and returns their names.
func fillDirectory(t *testing.T, b declared, n int) []string {
	t.Helper()
	var all []string
	for i := range n {
		all = append(all, fmt.Sprintf("a-name-of-common-length-%05d", i))
	}
	for chunk := range slices.Chunk(all, b.limits.MaxOps) {
		var ops []storage.Op
		for _, name := range chunk {
			ops = append(ops, storage.Put("dir/"+name, nil))
		}
		mustWrite(t, b, ops...)
	}
	return all
}

// A directory over max_directory takes no more names, and says which op is to blame; the
// session stays.
func TestFullDirectory(t *testing.T) {
	t.Parallel()
	const n = 4000
	server := servers.ZooKeeper(t, "-Djute.maxbuffer=200000")
	small := func(c *Config) { c.JuteMaxBuffer = 200_000 }
	b := openAt(t, server.Address, small)
	all := fillDirectory(t, b, n)
	bounded := openAt(t, server.Address, small, func(c *Config) { c.MaxDirectory = n / 4 })
	before, err := bounded.link.session(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_, err = bounded.List(t.Context(), "dir/", "", 10)
	if tooLarge, ok := errors.AsType[*storage.TooLargeError](err); !ok || tooLarge.Size != n || tooLarge.Limit != n/4 {
		t.Errorf("list over max_directory: %v, want a TooLargeError with the size and the limit", err)
	}
	err = bounded.Write(t.Context(), []storage.Op{storage.Delete(all[0]), storage.Put("dir/one-more", nil)})
	if op, ok := errors.AsType[*storage.OpError](err); !ok || op.Index != 1 || !errors.Is(err, storage.ErrTooLarge) || storage.OutcomeOf(err) != storage.Unapplied {
		t.Errorf("put over max_directory: %v, want ErrTooLarge about op 1", err)
	}
	mustWrite(t, bounded, storage.Put("dir/"+all[0], []byte("changed")), storage.Delete("dir/"+all[1]), storage.Put("elsewhere/x", nil))
	if after, err := bounded.link.session(t.Context()); err != nil || after != before {
		t.Errorf("the session was lost (%v)", err)
	}
}

// The servers take less than the plugin was told.
func TestServersTakeLess(t *testing.T) {
	t.Parallel()
	const buffer = 150_000
	server := servers.ZooKeeper(t, fmt.Sprintf("-Djute.maxbuffer=%d", buffer))
	b := openAt(t, server.Address)
	guard := storage.Guard{Key: "guard", Value: []byte("1")}
	guard.Version = mustCommit(t, b, guard)
	large := storage.Put("large", make([]byte, 2*buffer))
	for i := range 3 {
		_, err := b.Commit(t.Context(), guard, []storage.Op{large})
		if !errors.Is(err, storage.ErrTooLarge) || storage.OutcomeOf(err) != storage.Unapplied {
			t.Fatalf("commit %d over jute.maxbuffer: %v, want ErrTooLarge", i, err)
		}
		session, err := b.link.session(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := b.Write(t.Context(), []storage.Op{large}); !errors.Is(err, storage.ErrTooLarge) {
			t.Errorf("write %d over jute.maxbuffer: %v, want ErrTooLarge", i, err)
		}
		if !session.alive() {
			t.Errorf("write %d of a size that was refused before cost the connection", i)
		}
		guard.Version = mustCommit(t, b, guard, storage.Put("small", make([]byte, buffer/2)))
	}
	if _, err := b.Get(t.Context(), "large"); !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("a refused put was applied: get gives %v", err)
	}

	// With the option set, what is declared is what the servers take.
	told := openAt(t, server.Address, func(c *Config) { c.JuteMaxBuffer = buffer })
	v := mustCommit(t, told, guard, storage.Put("large", make([]byte, told.limits.MaxValueBytes)))
	var many []storage.Op
	for i := range told.limits.MaxOps {
		many = append(many, storage.Put(fmt.Sprintf("many/%d", i), make([]byte, (told.limits.MaxBatchBytes-1000)/told.limits.MaxOps)))
	}
	guard.Version = v
	mustCommit(t, told, guard, many...)
}
