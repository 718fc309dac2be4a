package consul

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/hashicorp/consul/api"

	"github.com/holdfast/holdfast/sdk/storage"
)

// shapes returns the largest batches that the limits allow, of the kinds that take
// most room in a request.
func shapes(l storage.Limits) map[string]batch {
	return map[string]batch{
		"values of one op":         fill(l, 1, 8, "k"),
		"values of many ops":       fill(l, l.MaxOps, 8, "k"),
		"long keys":                fill(l, l.MaxOps, l.MaxKeyBytes, "k"),
		"long keys that grow":      fill(l, l.MaxOps, l.MaxKeyBytes, "%"),
		"long keys grown by JSON":  fill(l, l.MaxOps, l.MaxKeyBytes, `"`),
		"middling keys that grow":  fill(l, l.MaxOps, 500, "~"),
		"values that need padding": fill(l, l.MaxOps, 9, "k"),
	}
}

type batch struct {
	guard storage.Guard
	ops   []storage.Op
}

// fill returns a batch of n puts and a guard that is exactly at MaxBatchBytes, or
// as near to it as n values of MaxValueBytes come.
func fill(l storage.Limits, n, keyBytes int, char string) batch {
	room := l.MaxBatchBytes
	key := func(i int) string {
		k := fmt.Sprintf("%04d", i)
		k += strings.Repeat(char, keyBytes-len(k))
		room -= len(k)
		return k
	}
	b := batch{guard: storage.Guard{Key: key(0), Value: []byte{1}}}
	room -= len(b.guard.Value)
	for i := range n {
		b.ops = append(b.ops, storage.Put(key(i+1), nil))
	}
	for i := range b.ops {
		size := min(room/(n-i), l.MaxValueBytes)
		b.ops[i].Value = bytes.Repeat([]byte{0xfb}, size)
		room -= size
	}
	return b
}

// Whatever the limits allow must fit a request at the servers' default limit.
func TestLimitsFitRequest(t *testing.T) {
	for _, path := range []string{"", "holdfast/", strings.Repeat("p", maxPathBytes-1) + "/"} {
		for _, txnOps := range []int{minTxnOps, 64, defaultTxnOps} {
			b := &Backend{path: path}
			l := limits(path, txnOps)
			if err := l.Validate(); err != nil {
				t.Errorf("limits of %d ops: %v", txnOps, err)
			}
			for name, s := range shapes(l) {
				if err := l.CheckBatch(&s.guard, s.ops); err != nil {
					t.Fatalf("%s: the limits refuse the batch meant to be at them: %v", name, err)
				}
				guard := &api.KVTxnOp{
					Verb: api.KVCAS, Key: b.name(s.guard.Key), Value: s.guard.Value,
					Index: math.MaxUint64, Flags: math.MaxUint64,
				}
				body, err := json.Marshal(b.operations(guard, s.ops))
				if err != nil {
					t.Fatal(err)
				}
				if len(body) >= maxRequestBytes { // the client adds a newline
					t.Errorf("%s, %d ops, path of %d: the request has %d bytes, the servers take %d",
						name, txnOps, len(path), len(body), maxRequestBytes)
				}
			}
		}
	}
}

// A value of the largest size is of use only if it fits beside a guard.
func TestLargestValueFitsBesideGuard(t *testing.T) {
	l := limits(strings.Repeat("p", maxPathBytes-1)+"/", defaultTxnOps)
	guard := storage.Guard{Key: "g", Value: make([]byte, storage.MinValueBytes)}
	op := storage.Put(strings.Repeat("k", l.MaxKeyBytes), make([]byte, l.MaxValueBytes))
	if err := l.CheckBatch(&guard, []storage.Op{op}); err != nil {
		t.Errorf("a value of MaxValueBytes beside a guard of MinValueBytes: %v", err)
	}
}
