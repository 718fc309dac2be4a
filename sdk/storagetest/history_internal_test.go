package storagetest

import (
	"math"
	"slices"
	"testing"

	"github.com/anishathalye/porcupine"
)

func TestSettle(t *testing.T) {
	put := func(value string, call, end int64) porcupine.Operation {
		return porcupine.Operation{Input: registerInput{value: value}, Call: call, Return: end}
	}
	get := func(value string, call, end int64) porcupine.Operation {
		return porcupine.Operation{Input: registerInput{get: true}, Output: value, Call: call, Return: end}
	}
	reads := []porcupine.Operation{get("read", 2, 9), get("read", 3, 5), get("early", 1, 2), get("", 1, 2)}
	h := newHistory()
	h.ops = slices.Concat(reads, []porcupine.Operation{
		put("answered", 1, 4), put("unread", 1, math.MaxInt64), put("read", 1, math.MaxInt64),
		put("early", 6, math.MaxInt64), put("", 1, math.MaxInt64),
	})
	want := slices.Concat(reads, []porcupine.Operation{
		put("answered", 1, 4), put("read", 1, 5),
		put("early", 6, 6), // read before it was made, which no order explains
		put("", 1, math.MaxInt64),
	})
	h.settle(func(input any) string { return input.(registerInput).value })
	if !slices.Equal(h.ops, want) {
		t.Errorf("got %v, want %v", h.ops, want)
	}
}
