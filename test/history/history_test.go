package history_test

import (
	"strings"
	"testing"
	"time"

	"github.com/holdfast/holdfast/test/history"
)

// at makes the operation of a client, from one second to another.
func at(client int, from, to int, input, output any) history.Op {
	return history.Op{
		Client: client, Call: time.Duration(from) * time.Second, Return: time.Duration(to) * time.Second,
		Input: input, Output: output,
	}
}

func unknown(client, from int, input any) history.Op {
	return history.Op{Client: client, Call: time.Duration(from) * time.Second, Input: input, Unknown: true}
}

type (
	read    = history.Read
	write   = history.Write
	replace = history.Replace
	rev     = history.Revision
	add     = history.Add
	remove  = history.Remove
	members = history.Members
)

func TestCheck(t *testing.T) {
	for name, c := range map[string]struct {
		model history.Model
		ops   []history.Op
		fails bool
	}{
		"a read of the last write": {history.Register(), []history.Op{at(1, 0, 1, write{5}, nil), at(2, 2, 3, read{}, 5)}, false},
		"a stale read":             {history.Register(), []history.Op{at(1, 0, 1, write{5}, nil), at(1, 2, 3, write{6}, nil), at(2, 4, 5, read{}, 5)}, true},
		"a lost write":             {history.Register(), []history.Op{at(1, 0, 1, write{5}, nil), at(2, 2, 3, read{}, 0)}, true},
		"an unknown write that was made late": {history.Register(), []history.Op{
			unknown(1, 0, write{5}), at(2, 1, 2, write{6}, nil), at(2, 3, 4, read{}, 6), at(2, 5, 6, read{}, 5),
		}, false},
		"an unknown write that was taken back": {history.Register(), []history.Op{
			unknown(1, 0, write{5}), at(2, 1, 2, write{6}, nil), at(2, 3, 4, read{}, 5), at(2, 5, 6, read{}, 6),
		}, true},
		"one winner": {history.Versioned(), []history.Op{
			at(1, 0, 2, replace{0, 5}, rev{1, 5}), at(2, 0, 2, replace{0, 6}, history.Mismatch{}), at(3, 3, 4, read{}, rev{1, 5}),
		}, false},
		"two winners":                 {history.Versioned(), []history.Op{at(1, 0, 2, replace{0, 5}, rev{1, 5}), at(2, 0, 2, replace{0, 6}, rev{1, 6})}, true},
		"a mismatch without a winner": {history.Versioned(), []history.Op{at(1, 0, 1, replace{0, 5}, history.Mismatch{})}, true},
		"a mismatch by an unknown winner": {history.Versioned(), []history.Op{
			unknown(2, 0, replace{0, 6}), at(1, 0, 1, replace{0, 5}, history.Mismatch{}),
		}, false},
		"versions over an unknown one": {history.Versioned(), []history.Op{
			unknown(2, 0, replace{0, 6}), at(1, 1, 2, read{}, rev{1, 6}), at(1, 3, 4, replace{1, 7}, rev{2, 7}), at(3, 5, 6, read{}, rev{2, 7}),
		}, false},
		"a set": {history.Set(), []history.Op{
			at(1, 0, 1, add{3}, nil), at(1, 1, 2, add{4}, nil), at(2, 3, 4, read{}, members(0x18)), at(1, 5, 6, remove{3}, nil), at(2, 7, 8, read{}, members(0x10)),
		}, false},
		"an element that came back": {history.Set(), []history.Op{
			at(1, 0, 1, add{3}, nil), at(1, 2, 3, remove{3}, nil), at(2, 4, 5, read{}, members(0x8)),
		}, true},
		"an unknown removal": {history.Set(), []history.Op{
			at(1, 0, 1, add{3}, nil), unknown(1, 2, remove{3}), at(2, 4, 5, read{}, members(0x8)), at(2, 6, 7, read{}, members(0)),
		}, false},
		"an unknown element that comes and goes": {history.Set(), []history.Op{
			unknown(1, 0, add{3}), at(2, 4, 5, read{}, members(0x8)), at(2, 6, 7, read{}, members(0)),
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			err := c.model.Check("kv/a", t.TempDir(), c.ops)
			if (err != nil) != c.fails {
				t.Errorf("got %v, want an error: %v", err, c.fails)
			}
			if err != nil && !strings.Contains(err.Error(), "not linearizable") {
				t.Errorf("got %v, want not linearizable", err)
			}
		})
	}
}

// Writes whose outcome is unknown and that nobody saw do not make the search longer.
func TestManyUnknownWrites(t *testing.T) {
	var ops []history.Op
	for i := range 200 {
		ops = append(ops, unknown(i, i, write{1000 + i}), at(0, i, i+3, write{1 + i}, nil))
	}
	ops = append(ops, at(0, 300, 301, read{}, 200))
	if err := history.Register().Check("kv/a", t.TempDir(), ops); err != nil {
		t.Error(err)
	}
}
