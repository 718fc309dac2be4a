package e2e

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/vault/api"

	"github.com/holdfast/holdfast/sdk/storage"
	"github.com/holdfast/holdfast/test/harness"
	"github.com/holdfast/holdfast/test/servers"
)

// manyNames is more than Holdfast asks a plugin for at a time.
const manyNames = 10_500

// TestListIsOneState lists a directory of several pages through all nodes while its last name
// comes after its first and goes before it. A list of one moment never has the last
// without the first; pages of several moments would.
func TestListIsOneState(t *testing.T) {
	onEveryStore(t, func(t *testing.T, b backend) {
		s, stanza := b.start(t)
		c := harness.NewCluster(t, 2, stanza+patient)
		c.Mount("kv", "1")
		client := c.Active().Client(c.RootToken)
		mustWrite(t, client, "kv/dir/m", 0)
		fillDirectory(t, b.name, addressOf(t, s))

		ctx, stop := context.WithCancel(t.Context())
		var changes atomic.Int64
		var writing sync.WaitGroup
		writing.Go(func() { moveEnds(ctx, client, &changes) })
		defer writing.Wait()
		defer stop()
		seen := map[string]int{}
		const minLists, minChanges = 12, 4
		began, lists := time.Now(), 0
		for ; lists < minLists || changes.Load() < minChanges && time.Since(began) < harness.Patience; lists++ {
			secret, err := c.Nodes[lists%len(c.Nodes)].Client(c.RootToken).Logical().ListWithContext(t.Context(), "kv/dir")
			if err != nil || secret == nil {
				t.Fatalf("list: %v, %v", secret, err)
			}
			names, _ := secret.Data["keys"].([]any)
			first, last := slices.Contains(names, any("a")), slices.Contains(names, any("z"))
			seen[fmt.Sprintf("first %t last %t", first, last)]++
			if last && !first || len(names) < manyNames {
				t.Errorf("list %d: %d names, the first is there: %t, the last: %t", lists, len(names), first, last)
			}
		}
		t.Logf("%d changes during %d lists: %v", changes.Load(), lists, seen)
		if changes.Load() < minChanges {
			t.Errorf("only %d changes during %d lists: the lists were not disturbed", changes.Load(), lists)
		}
	})
}

// moveEnds makes the first name and then the last, takes away the last and then the first,
// each when the one before was acknowledged, over and over.
func moveEnds(ctx context.Context, client *api.Client, changes *atomic.Int64) {
	logical := client.Logical()
	put := func(path string) error {
		_, err := logical.WriteWithContext(ctx, path, map[string]any{"n": 1})
		return err
	}
	remove := func(path string) error {
		_, err := logical.DeleteWithContext(ctx, path)
		return err
	}
	for {
		for _, step := range []struct {
			do   func(string) error
			path string
		}{{put, "kv/dir/a"}, {put, "kv/dir/z"}, {remove, "kv/dir/z"}, {remove, "kv/dir/a"}} {
			for step.do(step.path) != nil { // held back for too long, or unknown: say it again
				if ctx.Err() != nil {
					return
				}
			}
			changes.Add(1)
		}
	}
}

// fillDirectory puts names beside the one in kv/dir, behind Holdfast's back: a list does not
// look at values.
func fillDirectory(t *testing.T, plugin, address string) {
	t.Helper()
	store, err := harness.OpenPlugin(t, plugin, map[string]any{"address": address})
	if err != nil {
		t.Fatal(err)
	}
	dir := ""
	var mounts []string
	harness.Eventually(t, "the mounts are listed", func() (err error) {
		mounts, err = store.List(t.Context(), "hf/kv/", "", 0)
		return err
	})
	for _, mount := range mounts {
		if names, err := store.List(t.Context(), "hf/kv/"+mount+"data/dir/", "", 1); err == nil && len(names) == 1 {
			dir = "hf/kv/" + mount + "data/dir/"
		}
	}
	if dir == "" {
		t.Fatalf("none of the mounts %q holds the directory", mounts)
	}
	var ops []storage.Op
	for i := range manyNames {
		ops = append(ops, storage.Put(fmt.Sprintf("%sm%06d", dir, i), nil))
	}
	for batch := range slices.Chunk(ops, store.Capabilities().Limits.MaxOps) {
		// Again after an unknown outcome: it is the same then.
		harness.Eventually(t, "names are put into the directory", func() error { return store.Write(t.Context(), batch) })
	}
}

func addressOf(t *testing.T, s store) string {
	t.Helper()
	switch s := s.(type) {
	case *servers.ConsulServer:
		return s.Address
	case etcdStore:
		return s.Address
	case *servers.ZooKeeperServer:
		return s.Address
	}
	t.Fatalf("a store of type %T has no address", s)
	return ""
}
