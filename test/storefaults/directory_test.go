package storefaults

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	hostplugin "github.com/holdfast/holdfast/host/plugin"
	"github.com/holdfast/holdfast/sdk/storage"
	"github.com/holdfast/holdfast/test/servers"
)

// names is what a large directory holds.
const names = 20_000

// A directory that the store can only list as a whole, here longer than ZooKeeper's
// jute.maxbuffer: within the limit it is listed; over it, the call is refused with the
// limit named, and no other call notices.
func TestLargeDirectory(t *testing.T) {
	for _, start := range []func(t *testing.T) site{
		func(t *testing.T) site { t.Helper(); return consulSite(servers.Consul(t)) },
		func(t *testing.T) site {
			t.Helper()
			// A server that is silent for a third of the session's time is given up.
			return zookeeperSite(servers.ZooKeeper(t, "-Djute.maxbuffer=200000")).with("jute_maxbuffer", 200_000).with("session_timeout", "30s")
		},
	} {
		s := start(t).with("timeout", "1m") // the server does not fail here: it only has much to do
		t.Run(s.store, func(t *testing.T) {
			store := s.open(t)
			all := fill(t, store, "dir/", names)
			stop := work(t, store)
			for after, want := range map[string][]string{"": all, all[names-3]: all[names-2:]} {
				if got, err := listAll(t, store, after); err != nil || !slices.Equal(got, want) {
					t.Errorf("list after %q: %d names, %v, want all %d in order", after, len(got), err, len(want))
				}
			}
			const most = names / 4
			bounded := s.with("max_directory", most).open(t)
			for range 10 {
				_, err := list(t, bounded, "", 10)
				if !errors.Is(err, storage.ErrTooLarge) {
					t.Fatalf("list of a directory over max_directory: %v, want ErrTooLarge", err)
				}
				if wrong := s.clear(err, []string{"directory", fmt.Sprint(most), "max_directory"}); wrong != nil {
					t.Fatal(wrong)
				}
			}
			c := &committer{store: bounded, name: "main"}
			c.one(t)
			if _, err := bounded.Get(within(t), "dir/"+all[0]); err != nil {
				t.Errorf("get from a directory over max_directory: %v", err)
			}
			shrink(t, bounded, all[most/2:])
			if got, err := listAll(t, bounded, ""); err != nil || !slices.Equal(got, all[:most/2]) {
				t.Errorf("list when the directory is small again: %d names, %v, want %d", len(got), err, most/2)
			}
			for _, w := range append(stop(), c) {
				w.check(t)
				if w.n == 0 {
					t.Errorf("%s could not commit while the directory was listed", w.name)
				}
			}
		})
	}
}

// listTime is more than a busy machine takes for a list of all names.
const listTime = 2 * time.Minute

// listAll lists the whole directory, from after on.
func listAll(t *testing.T, store *hostplugin.Storage, after string) ([]string, error) {
	t.Helper()
	return list(t, store, after, 0)
}

func list(t *testing.T, store *hostplugin.Storage, after string, limit int) ([]string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), listTime)
	defer cancel()
	return store.List(ctx, "dir/", after, limit)
}

// fill puts n names into dir and returns them in order.
func fill(t *testing.T, store *hostplugin.Storage, dir string, n int) []string {
	t.Helper()
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf("a-name-of-common-length-%05d", i)
	}
	inBatches(t, store, all, func(name string) storage.Op { return storage.Put(dir+name, nil) })
	return all
}

func shrink(t *testing.T, store *hostplugin.Storage, gone []string) {
	t.Helper()
	inBatches(t, store, gone, func(name string) storage.Op { return storage.Delete("dir/" + name) })
}

// inBatches writes an op for each name, several batches at a time.
func inBatches(t *testing.T, store *hostplugin.Storage, all []string, op func(name string) storage.Op) {
	t.Helper()
	batches := slices.Collect(slices.Chunk(all, store.Capabilities().Limits.MaxOps))
	next := make(chan []string, len(batches))
	for _, batch := range batches {
		next <- batch
	}
	close(next)
	var group sync.WaitGroup
	for range workers {
		group.Go(func() {
			for batch := range next {
				var ops []storage.Op
				for _, name := range batch {
					ops = append(ops, op(name))
				}
				if err := store.Write(t.Context(), ops); err != nil {
					t.Errorf("write: %v", err)
				}
			}
		})
	}
	group.Wait()
	if t.Failed() {
		t.FailNow()
	}
}
