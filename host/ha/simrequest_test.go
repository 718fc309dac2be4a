package ha

import "time"

// simRequest is a client's operation on a node. It is answered once.
type simRequest struct {
	*simNode
	in     op
	tenure *simTenure
	write  *simSubmit // what was submitted
	over   bool
	answer func(out op, ran bool)
}

// request serves an operation that has this long, as a request of the HTTP API would be.
func (n *simNode) request(in op, limit time.Duration, answer func(out op, ran bool)) {
	if !n.up {
		return
	}
	n.running(n.life, func() {
		rq := &simRequest{simNode: n, in: in, tenure: n.tenure, answer: answer}
		if n.tenure == nil {
			rq.finish(op{}, false)
			return
		}
		n.later(limit, rq.expire)
		switch in.kind {
		case opRead:
			rq.read()
		case opWrite:
			rq.blind()
		case opSwap:
			rq.swap()
		}
	})
}

func (rq *simRequest) finish(out op, ran bool) {
	if rq.over {
		return
	}
	rq.over = true
	rq.gap(func() { rq.answer(out, ran) })
}

// expire answers at the deadline: what waits has not run and is taken back, what is in
// flight is unknown.
func (rq *simRequest) expire() {
	if rq.over {
		return
	}
	for i, w := range rq.queue {
		if w == rq.write {
			rq.queue = append(rq.queue[:i:i], rq.queue[i+1:]...)
			w.done(Again)
			return
		}
	}
	if rq.write != nil {
		rq.write.gone = true
	}
	rq.finish(op{unknown: true}, rq.write != nil)
}

// failed answers a request that has provably not run.
func (rq *simRequest) failed() { rq.finish(op{}, false) }

func (rq *simRequest) read() {
	rq.gap(func() {
		rq.get(rq.tenure, rq.in.key, func(value int, ok bool) {
			if !ok {
				rq.failed()
				return
			}
			rq.gap(func() {
				rq.confirm(rq.tenure, rq.in.strict, func(ok bool) { rq.finish(op{observed: value}, ok) })
			})
		})
	})
}

func (rq *simRequest) blind() {
	key := rq.in.key
	if rq.held[key] < 0 {
		rq.failed() // a check-and-set holds it
		return
	}
	rq.held[key]++
	rq.gap(func() {
		rq.submit(func(Result) { rq.held[key]-- }, op{})
	})
}

// swap holds the key from its read until the outcome of its write is known (P9).
func (rq *simRequest) swap() {
	key := rq.in.key
	if rq.held[key] != 0 && rq.mutant != noHold {
		rq.failed()
		return
	}
	rq.held[key] = -1
	release := func() { rq.held[key] = 0 }
	rq.get(rq.tenure, key, func(value int, ok bool) {
		rq.gap(func() {
			switch {
			case !ok || rq.over: // nobody waits for it any more
				release()
				rq.failed()
			case value != rq.in.old:
				release()
				rq.confirm(rq.tenure, rq.in.strict, func(ok bool) { rq.finish(op{observed: value}, ok) })
			default:
				rq.submit(func(Result) { release() }, op{swapped: true, observed: value})
			}
		})
	})
}

// submit queues the request's write. applied is the answer if it is.
func (rq *simRequest) submit(release func(Result), applied op) {
	if rq.simNode.tenure != rq.tenure || rq.over {
		release(Again)
		rq.failed()
		return
	}
	rq.write = &simSubmit{simWrite: simWrite{rq.in.key, rq.in.value}, done: func(r Result) {
		release(r)
		switch {
		case r == Applied:
			rq.finish(applied, true)
		case r == Doubtful && rq.mutant != doubtIsNot:
			rq.finish(op{unknown: true}, true)
		default:
			rq.failed()
		}
	}}
	rq.queue = append(rq.queue, rq.write)
	rq.wake()
}
