package storage_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/holdfast/holdfast/sdk/storage"
)

var small = storage.Limits{MaxKeyBytes: 8, MaxValueBytes: 10, MaxOps: 3, MaxBatchBytes: 30}

func TestCheckBatch(t *testing.T) {
	value := func(n int) []byte { return make([]byte, n) }
	guard := &storage.Guard{Key: "guard", Value: value(5)} // 10 bytes
	tests := []struct {
		name    string
		guard   *storage.Guard
		ops     []storage.Op
		want    error
		wantOp  int // -1: not about one op
		tooMuch string
	}{
		{"nothing", nil, nil, nil, -1, ""},
		{"guard alone", guard, nil, nil, -1, ""},
		{"most ops", guard, []storage.Op{storage.Put("a", nil), storage.Delete("b"), storage.Put("c", nil)}, nil, -1, ""},
		{"one op more", nil, make([]storage.Op, 4), storage.ErrTooLarge, -1, "batch"},
		{"largest value and key", nil, []storage.Op{storage.Put("12345678", value(10))}, nil, -1, ""},
		{"value", nil, []storage.Op{storage.Put("a", nil), storage.Put("b", value(11))}, storage.ErrTooLarge, 1, "value"},
		{"key", nil, []storage.Op{storage.Delete("123456789")}, storage.ErrTooLarge, 0, "key"},
		{"guard value", &storage.Guard{Key: "g", Value: value(11)}, nil, storage.ErrTooLarge, -1, "guard value"},
		{"guard key", &storage.Guard{Key: "123456789"}, nil, storage.ErrTooLarge, -1, "key"},
		{"invalid guard", &storage.Guard{Key: "a//b"}, nil, storage.ErrInvalidKey, -1, ""},
		{"invalid key", guard, []storage.Op{storage.Put("a", nil), storage.Put("b", nil), storage.Delete("..")}, storage.ErrInvalidKey, 2, ""},
		{"all bytes", guard, []storage.Op{storage.Put("a", value(9)), storage.Put("b", value(9))}, nil, -1, ""},
		{"one byte more", guard, []storage.Op{storage.Put("a", value(9)), storage.Put("b", value(10))}, storage.ErrTooLarge, -1, "batch"},
		{"key twice", nil, []storage.Op{storage.Put("a", nil), storage.Delete("a")}, storage.ErrUnsupported, 1, ""},
		{"guard as op", guard, []storage.Op{storage.Put("guard", nil)}, storage.ErrUnsupported, 0, ""},
		{"no kind", nil, []storage.Op{{Key: "a"}}, storage.ErrUnsupported, 0, ""},
	}
	for _, test := range tests {
		err := small.CheckBatch(test.guard, test.ops)
		if !errors.Is(err, test.want) || (err != nil) != (test.want != nil) {
			t.Errorf("%s: got %v, want %v", test.name, err, test.want)
			continue
		}
		op, isOp := errors.AsType[*storage.OpError](err)
		if isOp != (test.wantOp >= 0) || isOp && op.Index != test.wantOp {
			t.Errorf("%s: got op %v, want %d", test.name, op, test.wantOp)
		}
		tooLarge, isTooLarge := errors.AsType[*storage.TooLargeError](err)
		if isTooLarge != (test.tooMuch != "") || isTooLarge && (tooLarge.What != test.tooMuch || tooLarge.Size <= tooLarge.Limit) {
			t.Errorf("%s: got %+v, want %q over its limit", test.name, tooLarge, test.tooMuch)
		}
		if err != nil && storage.OutcomeOf(err) != storage.Unapplied {
			t.Errorf("%s: got outcome %v, want not applied", test.name, storage.OutcomeOf(err))
		}
	}
}

func TestLimitsValidate(t *testing.T) {
	least := storage.Limits{
		MaxKeyBytes:   storage.MaxKeyBytes / 2,
		MaxValueBytes: storage.MinValueBytes,
		MaxOps:        storage.MinOps,
		MaxBatchBytes: storage.MinValueBytes,
	}
	if err := least.Validate(); err != nil {
		t.Errorf("the least: got %v", err)
	}
	for name, change := range map[string]func(*storage.Limits){
		"MaxKeyBytes":   func(l *storage.Limits) { l.MaxKeyBytes-- },
		"MaxValueBytes": func(l *storage.Limits) { l.MaxValueBytes-- },
		"MaxOps":        func(l *storage.Limits) { l.MaxOps-- },
		"MaxBatchBytes": func(l *storage.Limits) { l.MaxBatchBytes-- },
	} {
		limits := least
		change(&limits)
		if err := limits.Validate(); err == nil || !strings.HasPrefix(err.Error(), "limits: "+name+" is ") {
			t.Errorf("%s one less: got %v, want an error that names it", name, err)
		}
	}
	if err := (storage.Limits{}).Validate(); err == nil {
		t.Error("the zero value: got no error")
	}
}
