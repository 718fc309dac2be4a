package ha

import (
	"fmt"
	"math"
)

// Sighting is how far a node has seen the history of the term record to go. Nodes tell
// each other theirs: a store that shows less was put back to an older state.
type Sighting struct {
	Generation uint64
	Epoch      uint64
	Seq        uint64
}

// void is what is told of a generation in which a node has gone on from a restored store:
// no record of it counts any more.
func void(generation uint64) Sighting {
	return Sighting{Generation: generation, Epoch: math.MaxUint64, Seq: math.MaxUint64}
}

// sighting returns what seeing r tells.
func (r Record) sighting() Sighting {
	return Sighting{Generation: r.Generation, Epoch: r.Epoch, Seq: r.Seq}
}

// Lacks reports whether a store that shows a can not have shown b before. In one
// generation neither epoch nor seq ever goes back: not the one without the other either,
// as after a take-over of a restored record.
func (a Sighting) Lacks(b Sighting) bool {
	if a.Generation != b.Generation {
		return a.Generation < b.Generation
	}
	return a.Epoch < b.Epoch || a.Seq < b.Seq
}

// Join returns what two nodes know together that have seen a and b.
func (a Sighting) Join(b Sighting) Sighting {
	switch {
	case a.Generation < b.Generation:
		return b
	case a.Generation > b.Generation:
		return a
	}
	return Sighting{Generation: a.Generation, Epoch: max(a.Epoch, b.Epoch), Seq: max(a.Seq, b.Seq)}
}

// String is for the log and for operators.
func (a Sighting) String() string {
	text := fmt.Sprintf("epoch %d, seq %d", a.Epoch, a.Seq)
	if a.Generation > 0 {
		text = fmt.Sprintf("generation %d, %s", a.Generation, text)
	}
	return text
}
