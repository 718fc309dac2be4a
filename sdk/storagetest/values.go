package storagetest

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/holdfast/holdfast/sdk/storage"
)

// valueCases are about what is stored under one key.
func valueCases() []Case {
	return []Case{
		{ID: "C-01", Profile: Core, Promise: "Get of an absent key answers ErrNotFound, and nothing else.", Run: getAbsent},
		{ID: "C-02", Profile: Core, Promise: "Get returns the value of the last write, byte for byte.", Run: getLastWrite},
		{ID: "C-03", Profile: Core, Promise: "A deleted key is absent, and deleting an absent key is no error.", Run: deleteTwice},
		{ID: "C-04", Profile: Core, Promise: "An empty value is a value; its key is not absent.", Run: emptyValue},
		{ID: "C-05", Profile: Core, Promise: "Values are bytes: none is special, no line end is changed.", Run: everyByte},
		{
			ID: "C-06", Profile: Core, Run: valueSizes,
			Promise: "Values up to the declared limit are stored whole; larger ones are refused with ErrTooLarge and change nothing.",
		},
	}
}

func getAbsent(t *T) {
	n := t.open()
	n.wantAbsent("a")
	n.wantAbsent("deep/er/a")
	n.put("a/b", "x")
	n.wantAbsent("a") // a directory is not a key
	n.wantAbsent("a/b/c")
}

func getLastWrite(t *T) {
	n := t.open()
	for i := range 10 {
		value := fmt.Sprintf("value %d", i)
		n.put("a", value)
		n.wantValue("a", value)
	}
	n.put("a/child", "other")
	n.wantValue("a", "value 9")
	n.wantValue("a/child", "other")
}

func deleteTwice(t *T) {
	n := t.open()
	n.put("a", "1")
	n.put("b", "2")
	n.remove("a")
	n.wantAbsent("a")
	n.remove("a")
	n.remove("never/there")
	n.wantAbsent("a")
	n.wantValue("b", "2")
	n.put("a", "3")
	n.wantValue("a", "3")
}

func emptyValue(t *T) {
	n := t.open()
	n.put("a", "")
	n.wantValue("a", "")
	n.wantNames("", "", 0, "a")
	n.put("a", "full")
	n.put("a", "")
	n.wantValue("a", "")
	n.put("d/e", "")
	n.wantValue("d/e", "")
	n.wantAbsent("d")
	n.wantNames("", "", 0, "a", "d/")
}

func everyByte(t *T) {
	n := t.open()
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	for i, value := range []string{
		string(every), "\x00", "a\x00b", "\r\n", "\n", " lead and trail ", "\xff\xfe", `{"json":"\u0000"}`, "%00", "\ufeff",
	} {
		name := fmt.Sprintf("v%d", i)
		n.put(name, value)
		n.wantValue(name, value)
	}
}

func valueSizes(t *T) {
	n := t.open()
	most := n.largest("v")
	for _, size := range []int{1, 4 << 10, 64<<10 - 1, 64 << 10, 512<<10 - 1, 512 << 10, 512<<10 + 1, most - 1, most} {
		if size > most {
			continue
		}
		value := strings.Repeat(fmt.Sprintf("%07d.", size), size/8+1)[:size]
		n.put("v", value)
		n.wantValue("v", value)
	}
	n.put("v", "kept")
	for _, size := range []int{most + 1, n.limits.MaxValueBytes + 1, 5 << 20} { // 5 MiB is over what gRPC takes by default
		err := n.Write(t.ctx, []storage.Op{storage.Put(n.dir+"v", bytes.Repeat([]byte{0xFE}, size))})
		n.wantTooLarge(fmt.Sprintf("a value of %d bytes", size), err)
	}
	n.wantValue("v", "kept")
}

// wantTooLarge checks the error of a write that is over a limit: typed, and certain. Which
// limit it names depends on which is reached first.
func (n *node) wantTooLarge(what string, err error) {
	tooLarge, typed := errors.AsType[*storage.TooLargeError](err)
	switch {
	case !errors.Is(err, storage.ErrTooLarge):
		n.t.Errorf("%s: got %v, want ErrTooLarge", what, err)
	case storage.OutcomeOf(err) != storage.Unapplied:
		n.t.Errorf("%s: its outcome is %v, want not applied", what, storage.OutcomeOf(err))
	case !typed || tooLarge.Limit <= 0:
		n.t.Errorf("%s: %v does not say what the limit is, want a TooLargeError", what, err)
	}
}
