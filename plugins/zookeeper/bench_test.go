package zookeeper

import (
	"fmt"
	"testing"

	"github.com/holdfast/holdfast/sdk/storage"
	"github.com/holdfast/holdfast/test/servers"
)

// BenchmarkStore measures one full batch after the other, as the host commits them, of new
// keys and of keys that exist; and 64 readers, which share transactions.
func BenchmarkStore(b *testing.B) {
	c := defaults()
	c.Address = []string{servers.ZooKeeper(b).Address}
	backend, _, err := open(b.Context(), c, environment())
	if err != nil {
		b.Fatal(err)
	}
	defer backend.Close()
	value := make([]byte, 1100)
	guard := storage.Guard{Key: "guard", Value: []byte("1")}
	made := 0 // batches
	commit := func(b *testing.B, name func(i int) string) {
		batches := 0
		for b.Loop() {
			var ops []storage.Op
			for i := range maxOps {
				ops = append(ops, storage.Put(name(i), value))
			}
			if guard.Version, err = backend.Commit(b.Context(), guard, ops); err != nil {
				b.Fatal(err)
			}
			made++
			batches++
		}
		b.ReportMetric(float64(batches*maxOps)/b.Elapsed().Seconds(), "keys/s")
	}
	b.Run("commit new keys", func(b *testing.B) {
		commit(b, func(i int) string { return fmt.Sprintf("new/%d/%d", made, i) })
	})
	b.Run("commit known keys", func(b *testing.B) {
		commit(b, func(i int) string { return fmt.Sprintf("known/%d", i) })
	})
	b.Run("get", func(b *testing.B) {
		b.SetParallelism(32)
		b.RunParallel(func(p *testing.PB) {
			for p.Next() {
				if _, err := backend.Get(b.Context(), "known/0"); err != nil {
					b.Error(err)
				}
			}
		})
	})
}
