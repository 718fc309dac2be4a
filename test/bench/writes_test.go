package bench

import "testing"

// BenchmarkWrites writes through Holdfast, which encrypts and groups, and through the
// store's own client, key by key, to the same server. Callers, Holdfast, plugin and store
// share the machine: with few processors, what one of them spends the others do not have.
func BenchmarkWrites(b *testing.B) {
	c, server := cluster(b, 1)
	holdfast := newHoldfastClient(b, c.Nodes[0], c.RootToken)
	store := newConsulClient(b, server)
	compare(b,
		&contestant{name: "consul", call: store.put},
		&contestant{name: "holdfast", call: holdfast.put})
}
