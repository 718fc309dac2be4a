package consul

import (
	"bytes"
	"context"
	"fmt"
	"hash/fnv"
	"slices"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/holdfast/holdfast/sdk/storage"
)

// patience is how long a test waits for what must happen.
const patience = 20 * time.Second

// poll calls f until it succeeds.
func poll(t *testing.T, what string, f func(ctx context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := f(ctx)
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%s: %v", what, err)
		case <-tick.C:
		}
	}
}

func hash(s string) string {
	h := fnv.New32a()
	_, _ = h.Write([]byte(s))
	return fmt.Sprintf("%08x", h.Sum32())
}

// Since 1.22 Consul's KV API refuses some keys, and cleans others.
func testOddKeys(t *testing.T, b declared, _ *api.KV) {
	keys := []string{
		" ", " lead", "trail ", "a%20b", "a..b%25", "100%", "%2e%2e", "%2F", "~", "~t", "~w6k~", "a&b", "<x>", `q"\`,
		"q?x=1", "h#f", "a+b", "...", "é", "e\u0301", "日本", "\u2028", "\u202ea", "\ufffd", "\U0001f511", "d/ in ", "d /x", " d/x", "%/%", "UPPER", "upper",
	}
	for _, key := range keys {
		if err := storage.ValidateKey(key); err != nil {
			t.Fatalf("%q: %v", key, err)
		}
		if err := b.Write(t.Context(), []storage.Op{storage.Put(key, []byte(key))}); err != nil {
			t.Fatalf("write %q: %v", key, err)
		}
	}
	for _, key := range keys {
		if item, err := b.Get(t.Context(), key); err != nil || string(item.Value) != key {
			t.Errorf("get %q: %q, %v, want itself", key, item.Value, err)
		}
	}
	want := []string{}
	for _, key := range keys {
		if i := bytes.IndexByte([]byte(key), '/'); i >= 0 {
			key = key[:i+1]
		}
		want = append(want, key)
	}
	slices.Sort(want)
	want = slices.Compact(want)
	if got, err := b.List(t.Context(), "", "", 0); err != nil || !slices.Equal(got, want) {
		t.Errorf("list: %q, %v, want %q", got, err, want)
	}
	for dir, want := range map[string]string{"d/": " in ", "d /": "x", " d/": "x", "%/": "%"} {
		if got, err := b.List(t.Context(), dir, "", 0); err != nil || !slices.Equal(got, []string{want}) {
			t.Errorf("list %q: %q, %v, want %q", dir, got, err, want)
		}
	}
}

// init must see what something else has put below the path; the empty marker that
// Consul's web interface leaves for a directory is nothing.
func testForeignNames(t *testing.T, b declared, kv *api.KV) {
	for _, name := range []string{b.path, b.path + "core/keyring", b.path + "50%", b.path + "~x~"} {
		op := api.TxnOps{{KV: &api.KVTxnOp{Verb: api.KVSet, Key: name}}}
		if ok, _, _, err := b.client.Txn().Txn(op, new(api.QueryOptions).WithContext(t.Context())); err != nil || !ok {
			t.Fatalf("put %q: %t, %v", name, ok, err)
		}
	}
	want := []string{"50%", "core/", "~x~"}
	if got, err := b.List(t.Context(), "", "", 0); err != nil || !slices.Equal(got, want) {
		t.Errorf("list: %q, %v, want %q", got, err, want)
	}
	if pair, _, err := kv.Get(b.path+"core/keyring", nil); err != nil || pair == nil {
		t.Errorf("the foreign key: %v, %v, want it kept", pair, err)
	}
}

func testManyNames(t *testing.T, b declared, _ *api.KV) {
	const n = 10_000
	var all []string
	for i := range n {
		all = append(all, fmt.Sprintf("n%05d", i))
	}
	for chunk := range slices.Chunk(all, b.capabilities.Limits.MaxOps) {
		var ops []storage.Op
		for _, name := range chunk {
			ops = append(ops, storage.Put("dir/"+name, nil))
		}
		if err := b.Write(t.Context(), ops); err != nil {
			t.Fatal(err)
		}
	}
	started := time.Now()
	got, err := b.List(t.Context(), "dir/", "", 0)
	if err != nil || !slices.Equal(got, all) {
		t.Fatalf("list: %d names, %v, want all %d in order", len(got), err, n)
	}
	t.Logf("list of %d names: %v", n, time.Since(started))
	var paged []string
	for after := ""; ; after = paged[len(paged)-1] {
		page, err := b.List(t.Context(), "dir/", after, 3000)
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			break
		}
		paged = append(paged, page...)
	}
	if !slices.Equal(paged, all) {
		t.Errorf("pages have %d names, want the same %d", len(paged), n)
	}
}

// After a restore a key may be at a lower index than the one seen.
func testWatchVersionFromElsewhere(t *testing.T, b declared, _ *api.KV) {
	v := mustCommit(t, b, storage.Guard{Key: "guard", Value: []byte("1")})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for _, seen := range []storage.Version{v + "000", "x", ""} {
		started := time.Now()
		item, err := b.Watch(ctx, "guard", seen)
		if err != nil || item.Version != v {
			t.Errorf("watch with version %q: at %q, %v, want %q", seen, item.Version, err, v)
		}
		if took := time.Since(started); took > patience/4 {
			t.Errorf("watch with version %q took %v, want an answer at once", seen, took)
		}
	}
}

// Consul counts every change of the store against a key that is absent.
func testWatchAbsent(t *testing.T, b declared, _ *api.KV) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	type answer struct {
		item storage.Item
		err  error
	}
	done := make(chan answer, 1)
	go func() {
		item, err := b.Watch(ctx, "late", "")
		done <- answer{item, err}
	}()
	for i := range 100 {
		if err := b.Write(ctx, []storage.Op{storage.Put(fmt.Sprintf("other/%d", i), nil)}); err != nil {
			t.Fatal(err)
		}
		select {
		case a := <-done:
			t.Fatalf("watch of an absent key returned %+v while others changed", a)
		default:
		}
	}
	v := mustCommit(t, b, storage.Guard{Key: "late", Value: []byte("1")})
	if a := <-done; a.err != nil || a.item.Version != v {
		t.Errorf("watch: at %q, %v, want %q", a.item.Version, a.err, v)
	}
}
