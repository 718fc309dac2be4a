package ha

import (
	"context"
	"fmt"
	"time"

	"github.com/holdfast/holdfast/host/clock"
)

// hearsay is what other nodes have told of the record. A node that has just been unsealed, or
// was cut off or frozen, may look at a store that was put back to an older state, without
// knowing. Those who saw the newer one tell it, and nobody takes over before having asked.
type hearsay struct {
	Asked  bool          // the others were asked, and no gap in this node's own view has come since
	Asking bool          // an Ask is under way
	Gap    bool          // this node may have missed something, and has not seen the record since
	Gaps   uint64        // so far: an Ask from before one counts for nothing
	Newest Sighting      // of all who told, together
	At     clock.Instant // when this node was last told more than it knew
	Before Sighting      // what this node had seen before the gap, until the others were asked; zero if that is all
}

type (
	// Heard means that another node has told what it saw. With Asked, it is the answer to
	// an Ask, with the same Gaps: all nodes that can be reached have told.
	Heard struct {
		Newest Sighting
		Asked  bool
		Gaps   uint64
	}
	// Ask asks to ask all nodes that can be reached what they saw, see State.Careful.
	Ask struct{ Gaps uint64 }
)

// notice takes in that it is now. When nothing has happened here for longer than the
// protocol ever waits, this node was frozen, and may have missed something.
func (s *State) notice(now clock.Instant) {
	if s.Stepped != 0 && now.Sub(s.Stepped) > max(s.Timing.Lease, troublePause) {
		s.gap()
	}
	s.Stepped = now
}

// gap takes in that this node may have missed something from now until it sees the record.
func (s *State) gap() {
	if s.Hearsay.Asked || s.Hearsay.Asking {
		s.Hearsay.Gaps++
	}
	s.Hearsay.Asked, s.Hearsay.Gap = false, true
}

// mustAsk reports whether it is time for an Ask.
func (s *State) mustAsk() bool {
	h := s.Hearsay
	return s.Careful && s.Role == Standby && s.Known && !h.Gap && !h.Asked && !h.Asking
}

// sure reports whether this node may take the record over as it sees it.
func (s *State) sure() bool { return !s.Careful || s.Hearsay.Asked && !s.behind() }

// behind reports whether another node has seen more than what this one has in front of it.
func (s *State) behind() bool { return s.Known && s.Record.sighting().Lacks(s.Hearsay.Newest) }

// furthest is what this node saw and was told of.
func (s *State) furthest() Sighting { return s.Newest.sighting().Join(s.Hearsay.Newest) }

// told is what this node tells others. After a gap that is what it had seen before: a node
// that went on from a restored store meanwhile, to a record that looks newer, can tell by it.
func (s *State) told() Sighting {
	if s.Hearsay.Before != (Sighting{}) {
		return s.Hearsay.Before.Join(s.Hearsay.Newest)
	}
	return s.furthest()
}

// endGap takes in that this node sees the record again: next. It keeps what it had seen until now.
func (s *State) endGap(next Record) {
	h := &s.Hearsay
	h.Gap = false
	if next.Generation > s.Newest.Generation {
		h.Before = Sighting{} // it counts no more
		return
	}
	if s.Careful && !h.Asked && h.Before == (Sighting{}) && s.Newest.Batch != "" && s.Newest.Epoch < next.Epoch {
		h.Before = s.Newest.sighting()
	}
}

// heard takes in what another node has seen. That it is more than what this node saw may
// be a matter of moments: only a read begun now, or a Commit sent now, tells.
func (s *State) heard(e Heard, now clock.Instant) {
	h := &s.Hearsay
	if e.Asked {
		h.Asking, h.Asked = false, e.Gaps == h.Gaps
		if h.Asked {
			h.Before = Sighting{}
		}
	}
	own := s.Record.sighting()
	began := Sighting{Generation: own.Generation, Epoch: own.Epoch, Seq: s.Began}
	if s.Role == Active && e.Newest.Generation == own.Generation && e.Newest.Epoch < own.Epoch && began.Lacks(e.Newest) {
		e.Newest = void(own.Generation) // an earlier epoch went on to beyond where this one began
	}
	if s.furthest().Lacks(e.Newest) {
		h.Newest, h.At = h.Newest.Join(e.Newest), now
	}
	if s.Role == Active && (h.Newest.Generation > own.Generation || h.Newest.Generation == own.Generation && h.Newest.Epoch > own.Epoch) {
		s.Lease, s.Work = 0, true // the Commit sent next tells whether this node is still the holder
	}
}

// refuted returns how the success of a shows that the store was restored; "" if it does not.
func (s *State) refuted(a Attempt) string {
	if a.SentAt >= s.Hearsay.At && a.Record.sighting().Lacks(s.Hearsay.Newest) {
		return wentBack(s.Hearsay.Newest, a.Record.sighting())
	}
	return ""
}

// outdated returns how e shows that the store was restored; "" if it does not.
func (s *State) outdated(e Seen) string {
	shown := e.Record.sighting()
	switch {
	case shown.Lacks(s.Newest.sighting()):
		return wentBack(s.Newest.sighting(), shown)
	case !shown.Lacks(s.Hearsay.Newest):
		return ""
	case e.Asked >= s.Hearsay.At || s.Found.Damage == WentBack || s.Hearsay.Newest == void(shown.Generation):
		return wentBack(s.Hearsay.Newest, shown)
	}
	return "" // this may have been on its way before this node was told
}

// askTime bounds an Ask: a node that does not answer for so long can not be reached.
const askTime = time.Second

// ask asks the other nodes what they saw.
func (d *Driver) ask(ctx context.Context, gaps uint64) received {
	actx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	return received{event: Heard{Newest: d.cfg.AskOthers(actx), Asked: true, Gaps: gaps}}
}

func wentBack(from, to Sighting) string {
	if from == void(from.Generation) {
		return fmt.Sprintf("the store was restored to an older state, and a node has gone on from there (the term record, %s, is at %v)", RecordKey, to)
	}
	return fmt.Sprintf("the term record (%s) went back from %v to %v: the store was restored to an older state", RecordKey, from, to)
}
