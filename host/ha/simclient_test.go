package ha

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/anishathalye/porcupine"
)

// simHistory is what the clients did and heard.
type simHistory struct {
	history  []porcupine.Operation
	latest   [simKeys]int       // what any client saw last, for check-and-set
	open     [simClients]func() // ends a client's operation without an answer
	acked    int
	doubtful int  // writes that nobody will ever know of
	revived  bool // an operation begun after the faults was acknowledged
}

// op is what a client does to one register, and what it hears.
type op struct {
	kind   opKind
	key    int
	value  int // to be written; every operation has its own
	old    int // with swap: what must be there
	strict bool

	observed int // by a read, or by a swap
	swapped  bool
	unknown  bool // nobody told the client what became of it
}

type opKind uint8

const (
	opRead opKind = iota
	opWrite
	opSwap // write value if old is there: a check-and-set
)

func (o op) String() string {
	return fmt.Sprintf(map[opKind]string{opRead: "read k%d", opWrite: "write k%d=%d", opSwap: "swap k%d=%d if %d"}[o.kind],
		[]any{o.key, o.value, o.old}[:o.kind+1]...)
}

// client does one operation after another, forever. It goes to nodes that believe
// they are active, whether they are or not.
func (s *sim) client(id int) {
	again := func() { s.after(s.upTo(s.think), func() { s.client(id) }) }
	n := s.anyActive()
	if n == nil {
		again()
		return
	}
	s.serial++
	in := op{kind: s.kindOfOp(), key: s.rnd.IntN(simKeys), value: s.serial, strict: s.chance(0.2)}
	if in.kind == opSwap {
		in.old = s.latest[in.key]
	}
	call, over, late := s.now, false, s.calm
	finish := func(out op, ran bool) {
		if over {
			return
		}
		over, s.open[id] = true, nil
		if s.trace != nil {
			s.logf(fmt.Sprintf("c%d", id), "%v at %s: %s", in, n.name(), answerText(out, ran))
		}
		if ran {
			s.record(id, in, out, call)
			s.revived = s.revived || late && !out.unknown
		}
		again()
	}
	s.open[id] = func() { finish(op{unknown: true}, in.kind != opRead) }
	limit := 300*time.Millisecond + s.upTo(5*time.Second)>>s.rnd.IntN(4)
	s.after(limit+s.upTo(2*s.travel), s.open[id])
	s.after(s.upTo(s.travel), func() {
		n.request(in, limit, func(out op, ran bool) { s.after(s.upTo(s.travel), func() { finish(out, ran) }) })
	})
}

// anyActive returns a node that believes it is active, nil if none does.
func (s *sim) anyActive() *simNode {
	first := s.rnd.IntN(len(s.nodes))
	for i := range s.nodes {
		if n := s.nodes[(first+i)%len(s.nodes)]; n.tenure != nil {
			return n
		}
	}
	return nil
}

func (s *sim) kindOfOp() opKind {
	switch {
	case s.chance(s.reads):
		return opRead
	case s.chance(0.5):
		return opWrite
	default:
		return opSwap
	}
}

func (s *sim) record(id int, in, out op, call time.Duration) {
	if !out.unknown {
		s.acked++
		switch {
		case in.kind == opWrite, out.swapped:
			s.latest[in.key] = in.value
		default:
			s.latest[in.key] = out.observed
		}
	}
	s.history = append(s.history, porcupine.Operation{
		ClientId: id, Input: in, Output: out, Call: int64(call), Return: int64(s.now),
	})
}

func answerText(out op, ran bool) string {
	switch {
	case !ran:
		return "503, not run"
	case out.unknown:
		return "outcome unknown"
	default:
		return fmt.Sprintf("ok, observed %d, swapped %v", out.observed, out.swapped)
	}
}

// registers is what the clients should see: registers, at 0 in the beginning.
var registers = porcupine.Model{
	Partition: func(h []porcupine.Operation) [][]porcupine.Operation {
		parts := make([][]porcupine.Operation, simKeys)
		for _, o := range h {
			key := o.Input.(op).key
			parts[key] = append(parts[key], o)
		}
		return parts
	},
	Init: func() any { return 0 },
	Step: func(state, input, output any) (bool, any) {
		in, out, at := input.(op), output.(op), state.(int)
		switch {
		case in.kind == opRead:
			return out.observed == at, state
		case in.kind == opWrite:
			return true, in.value
		case out.unknown: // it swaps if it can, wherever it is put
			if at == in.old {
				return true, in.value
			}
			return true, state
		case out.swapped:
			return at == in.old, in.value
		default:
			return at == out.observed && at != in.old, state
		}
	},
	DescribeOperation: func(input, output any) string { return fmt.Sprintf("%+v -> %+v", input, output) },
}

// settled returns the history for the checker. An operation of unknown outcome may take
// effect at any time, so it returns after the end. One whose value nobody observed is
// left out, or the checker would try it everywhere. That changes no verdict:
//
//   - What is linearizable without it is so with it, put last: nobody comes after it.
//   - What is linearizable with it is so without it. Its value is its own, and while a
//     register holds a value that nobody observed, only operations that do not mind the
//     value happened: blind writes, and swaps of unknown outcome that expect another
//     value. Those did nothing there, and can be put last as well.
//
// A value counts as observed if a read or swap returned it, or a swap expected it.
func settled(history []porcupine.Operation) []porcupine.Operation {
	seen := map[int]bool{}
	for _, o := range history {
		seen[o.Output.(op).observed] = true
		if in := o.Input.(op); in.kind == opSwap {
			seen[in.old] = true
		}
	}
	h := slices.Clone(history)
	h = slices.DeleteFunc(h, func(o porcupine.Operation) bool {
		return o.Output.(op).unknown && !seen[o.Input.(op).value]
	})
	for i := range h {
		if h[i].Output.(op).unknown {
			h[i].Return = int64(time.Hour)
		}
	}
	return h
}

// firstIllegal returns the first answer, in order of time, that makes the history illegal.
func firstIllegal(history []porcupine.Operation) porcupine.Operation {
	h := slices.Clone(history)
	slices.SortStableFunc(h, func(a, b porcupine.Operation) int { return cmp.Compare(a.Return, b.Return) })
	for i, last := range h {
		seen := slices.Clone(h[:i+1])
		for _, o := range h[i+1:] { // those that were under way may or may not have had an effect
			if in := o.Input.(op); in.kind != opRead && o.Call < last.Return {
				o.Output = op{unknown: true}
				seen = append(seen, o)
			}
		}
		if porcupine.CheckOperationsTimeout(registers, settled(seen), time.Minute) == porcupine.Illegal {
			return last
		}
	}
	return porcupine.Operation{}
}
