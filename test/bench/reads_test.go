package bench

import "testing"

// BenchmarkReads reads what is as fresh each time: from the active node within its lease,
// through a standby, and from the store itself.
func BenchmarkReads(b *testing.B) {
	c, server := cluster(b, 2)
	active := newHoldfastClient(b, c.Active(), c.RootToken)
	standby := newHoldfastClient(b, c.Standbys()[0], c.RootToken)
	store := newConsulClient(b, server)
	for n := range keys {
		if err := active.put(b.Context(), n); err != nil {
			b.Fatal(err)
		}
		if err := store.put(b.Context(), n); err != nil {
			b.Fatal(err)
		}
	}
	compare(b,
		&contestant{name: "consul", call: store.get},
		&contestant{name: "active", call: active.get},
		&contestant{name: "standby", call: standby.get})
}
