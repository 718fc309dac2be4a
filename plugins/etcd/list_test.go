package etcd

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/holdfast/holdfast/sdk/storage"
)

// init must see what something else has put below the path.
func testForeignNames(t *testing.T, b declared, client *clientv3.Client) {
	for _, name := range []string{b.path, b.path + "core/keyring", b.path + "\xff", b.path + "a//b", b.path + "a", "unrelated"} {
		if _, err := client.Put(t.Context(), name, ""); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{"a", "a/", "core/", "\xff"}
	if got, err := b.List(t.Context(), "", "", 0); err != nil || !slices.Equal(got, want) {
		t.Errorf("list: %q, %v, want %q", got, err, want)
	}
}

// modelList is List on all keys of a store, without thinking.
func modelList(keys map[string]bool, prefix, after string, limit int) []string {
	names := []string{}
	for key := range keys {
		name, below := strings.CutPrefix(key, prefix)
		if !below {
			continue
		}
		if at := strings.IndexByte(name, '/'); at >= 0 {
			name = name[:at+1]
		}
		if name > after {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	names = slices.Compact(names)
	if limit > 0 && len(names) > limit {
		names = names[:limit]
	}
	return names
}

// Names that sort before and after a slash, directories small and large.
func testListModel(t *testing.T, b declared, _ *clientv3.Client) {
	random := rand.New(rand.NewPCG(1, 2))
	segment := func() string {
		letters := "ab-.0 !~é\U0001f511"
		all := []rune(letters)
		var s strings.Builder
		for range 1 + random.IntN(3) {
			s.WriteRune(all[random.IntN(len(all))])
		}
		return "x" + s.String()
	}
	keys := map[string]bool{}
	for range 1500 {
		key := segment()
		for range random.IntN(4) {
			key += "/" + segment()
		}
		keys[key] = true
	}
	for i := range 1500 { // more than a page, deep in one directory
		keys[fmt.Sprintf("xa/many/%04d", i)] = true
	}
	putAll(t, b, keys)
	for _, paged := range []bool{false, true} {
		b.paged.Store(paged)
		compareLists(t, b, random, keys, segment)
	}
}

func compareLists(t *testing.T, b declared, random *rand.Rand, keys map[string]bool, segment func() string) {
	t.Helper()
	prefixes := []string{"", "xa/", "xa/many/", "xb/", "x-/", "nothing/"}
	for range 400 {
		prefix, after, limit := prefixes[random.IntN(len(prefixes))], "", random.IntN(40)
		if limit > 30 {
			limit = 0
		}
		switch names := modelList(keys, prefix, "", 0); random.IntN(3) {
		case 0:
			after = segment()
		case 1:
			if len(names) > 0 {
				after = names[random.IntN(len(names))]
			}
		}
		got, err := b.List(t.Context(), prefix, after, limit)
		if want := modelList(keys, prefix, after, limit); err != nil || !slices.Equal(got, want) {
			t.Fatalf("paged %t: list %q after %q limit %d: %v\ngot  %q\nwant %q", b.paged.Load(), prefix, after, limit, err, got, want)
		}
	}
}

func putAll(t *testing.T, b declared, keys map[string]bool) {
	t.Helper()
	var all []storage.Op
	for key := range keys {
		all = append(all, storage.Put(key, nil))
	}
	for ops := range slices.Chunk(all, b.limits.MaxOps) {
		if err := b.Write(t.Context(), ops); err != nil {
			t.Fatal(err)
		}
	}
}

// One call shows one state, though its pages are read one after the other while names
// come and go and the history is compacted up to the newest revision.
func testListCompaction(t *testing.T, b declared, client *clientv3.Client) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	const n = 3000 // several pages
	keys := map[string]bool{}
	for i := range n {
		keys[fmt.Sprintf("d/%05d", i)] = true
	}
	putAll(t, b, keys)
	var stop atomic.Bool
	var others sync.WaitGroup
	var compactions, moves atomic.Int64
	others.Go(func() {
		// A name at one end goes when one at the other end comes: each state has n names.
		for i := 0; !stop.Load(); i++ {
			from, to := "d/00000", "d/99999"
			if i%2 == 1 {
				from, to = to, from
			}
			if err := b.Write(ctx, []storage.Op{storage.Delete(from), storage.Put(to, nil)}); err != nil {
				t.Errorf("write: %v", err)
				return
			}
			moves.Add(1)
		}
	})
	others.Go(func() {
		for !stop.Load() {
			reply, err := client.Get(ctx, "none")
			if err == nil {
				_, err = client.Compact(ctx, reply.Header.Revision)
			}
			if err == nil {
				compactions.Add(1)
			}
		}
	})
	for range 30 {
		names, err := b.List(ctx, "d/", "", 0)
		if err != nil || len(names) != n || slices.Contains(names, "00000") == slices.Contains(names, "99999") {
			t.Errorf("list: %d names, %v, want the %d of one state", len(names), err, n)
			break
		}
	}
	stop.Store(true)
	others.Wait()
	if compactions.Load() == 0 || moves.Load() == 0 {
		t.Errorf("%d compactions, %d moves: the lists were not disturbed", compactions.Load(), moves.Load())
	}
}

// The key that is the directory's own is read once, also where one key is read at a time.
func TestScanLeavesTheDirectorysKeyBehind(t *testing.T) {
	s := newScan("dir/", "", 1)
	if found := s.take([]*mvccpb.KeyValue{{Key: []byte("dir/")}}); found != 0 || s.from != "dir/\x00" {
		t.Errorf("after the key of the directory itself: %d names, and goes on from %q, want none and from behind it", found, s.from)
	}
}

// Calls that find out at the same time that the server has no streams all go on.
func TestFirstListsOfAnOldServer(t *testing.T) {
	s := fake(t, success) // it has no RangeStream
	b := backendAt(t, s.address)
	var lists sync.WaitGroup
	for range 8 {
		lists.Go(func() {
			if names, err := b.List(t.Context(), "", "", 0); err != nil || len(names) != 0 {
				t.Errorf("list: %q, %v, want none", names, err)
			}
		})
	}
	lists.Wait()
}
