package history

import (
	"fmt"
	"math/bits"
)

// Write is the input that replaces a register. No two writes of a history have the same
// value, and none the value 0.
type Write struct{ Value int }

// Register is an object that holds one value, 0 at first. The output of Read is an int.
func Register() Model {
	return Model{
		init: 0,
		step: func(state, input, output any) (bool, any) {
			if w, ok := input.(Write); ok {
				return true, w.Value
			}
			return output == state, state
		},
		describe: func(input, output any) string {
			if w, ok := input.(Write); ok {
				return fmt.Sprintf("write %d", w.Value)
			}
			return fmt.Sprintf("read %v", output)
		},
		observed: func(ops []Op) func(Op) bool {
			values := map[any]bool{}
			for _, o := range ops {
				if _, read := o.Input.(Read); read {
					values[o.Output] = true
				}
			}
			return func(o Op) bool { return values[o.Input.(Write).Value] }
		},
	}
}

// Replace is the input that gives a versioned object a value if it is at a version. No two
// of a history have the same value.
type Replace struct{ Version, Value int }

// Versioned is an object with a value and a count of its changes, both 0 at first. The
// output of Read is the Revision. The output of Replace is the Revision it made, or
// Mismatch.
func Versioned() Model {
	return Model{
		init:     Revision{},
		step:     stepVersioned,
		describe: func(input, output any) string { return fmt.Sprintf("%T%+v: %+v", input, input, output) },
		observed: func(ops []Op) func(Op) bool {
			made := map[int]bool{} // versions that are known to be of another write
			values := map[int]bool{}
			highest := 0
			for _, o := range ops {
				if r, ok := o.Output.(Revision); ok && !o.Unknown {
					values[r.Value] = true
					highest = max(highest, r.Version)
					if _, read := o.Input.(Read); !read {
						made[r.Version] = true
					}
				}
			}
			return func(o Op) bool {
				w := o.Input.(Replace)
				// It may have made its version, which others built upon or were refused for.
				return values[w.Value] || !made[w.Version+1] && (highest > w.Version || mismatched(ops, w.Version))
			}
		},
	}
}

// mismatched reports whether anybody was told that version is not the present one.
func mismatched(ops []Op, version int) bool {
	for _, o := range ops {
		if w, ok := o.Input.(Replace); ok && w.Version == version && o.Output == (Mismatch{}) {
			return true
		}
	}
	return false
}

// Revision is the state of a versioned object.
type Revision struct{ Version, Value int }

// Mismatch says that a versioned object was at another version.
type Mismatch struct{}

func stepVersioned(state, input, output any) (bool, any) {
	at := state.(Revision)
	w, write := input.(Replace)
	switch {
	case !write:
		return output == at, at
	case output == Mismatch{}:
		return w.Version != at.Version, at
	case output == nil && w.Version != at.Version:
		return true, at // unknown: it was refused
	}
	next := Revision{Version: w.Version + 1, Value: w.Value}
	return w.Version == at.Version && (output == nil || output == next), next
}

// Elements is how many elements a set can have.
const Elements = 64

// Add is the input that adds an element to a set. Each is added once in a history.
type Add struct{ Element int }

// Remove is the input that takes an element out of a set. Only what is known to be added is
// removed, and once.
type Remove struct{ Element int }

// Set is an object that is a set of the numbers 0 to 63, empty at first. The output of Read
// is Members.
func Set() Model {
	return Model{
		init: Members(0),
		step: func(state, input, output any) (bool, any) {
			at := state.(Members)
			switch w := input.(type) {
			case Add:
				return true, at | 1<<w.Element
			case Remove:
				return true, at &^ (1 << w.Element)
			}
			return output == at, at
		},
		describe: func(input, output any) string { return fmt.Sprintf("%T%+v: %v", input, input, output) },
		observed: func(ops []Op) func(Op) bool {
			var ever Members
			for _, o := range ops {
				if m, ok := o.Output.(Members); ok {
					ever |= m
				}
			}
			return func(o Op) bool {
				switch w := o.Input.(type) {
				case Add:
					return ever&(1<<w.Element) != 0
				case Remove:
					return missedSince(ops, o, w.Element)
				}
				return true
			}
		},
	}
}

// missedSince reports whether a read that may be later than o did not find the element.
func missedSince(ops []Op, o Op, element int) bool {
	for _, other := range ops {
		if m, read := other.Output.(Members); read && other.Return > o.Call && m&(1<<element) == 0 {
			return true
		}
	}
	return false
}

// Members are the elements of a set, one bit each.
type Members uint64

func (m Members) String() string {
	return fmt.Sprintf("%d elements, %#x", bits.OnesCount64(uint64(m)), uint64(m))
}
