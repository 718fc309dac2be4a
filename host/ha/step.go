package ha

import (
	"fmt"
	"strconv"
	"time"

	"github.com/holdfast/holdfast/host/clock"
	"github.com/holdfast/holdfast/host/version"
)

// Step returns the state after e at instant now, and what is to be done. It is a
// pure function. Effects are to be carried out in their order; each Send and
// Read is answered by exactly one event (Done, Conflict, Unapplied, Rejected or Lost;
// Seen, Gone or ReadFailed) and there is never more than one of them in flight. A Look
// may be answered by Seen, Gone or ReadFailed.
func (s State) Step(e Event, now clock.Instant) (State, []Effect) {
	var fx []Effect
	s.notice(now)
	switch e := e.(type) {
	case Seen:
		fx = s.seen(e, now)
	case Gone:
		fx = s.gone(e, now)
	case ReadFailed:
		s.readFailed(now)
	case WorkReady:
		s.Work = true
	case Done:
		fx = s.done(e, now)
	case Conflict:
		// Nothing is answered from memory until the record has been read (P6).
		s.Lease = 0
		s.Attempt.Stage = Reading
		return s, []Effect{Read{}}
	case Unapplied:
		fx = s.unapplied(now)
	case Rejected:
		fx = s.rejected(now)
	case Lost:
		fx = s.lost(e, now)
	case Agreed:
		if s.Role == Active { // else it is what another tenure's members speak
			s.Agreed = e.Speak
		}
	case StepDown:
		if s.Role != Standby {
			s.Leaving, s.Target, s.Reason = true, e.Target, e.Reason
		}
	case Heard:
		s.heard(e, now)
	case AcceptRestore:
		fx = s.accept(e, now)
	case WritesChecked:
		s.writesChecked(e, now)
	}
	return s, append(fx, s.due(now)...)
}

// WakeAt returns when Step wants a Tick at the latest, if nothing else happens.
func (s State) WakeAt(now clock.Instant) clock.Instant {
	switch {
	case s.Attempt.Kind != None:
		if s.Attempt.Stage == Pausing || s.Attempt.Stage == Blind {
			return s.RetryAt
		}
	case s.Role == Active && (s.Suspended || s.Leaving || s.Work):
		return s.RetryAt
	case s.Role == Active:
		return s.LastSent.Add(s.Timing.Beat)
	case s.Known && s.sure() && !s.Writes.Refused:
		return min(max(s.RetryAt, s.takeOverAt()), s.lookAt())
	default:
		at := s.lookAt()
		if check, ok := s.checkWritesAt(); ok {
			at = min(at, check)
		}
		return at
	}
	return now.Add(time.Second)
}

// readFailed takes in that the store does not answer. Silence of the record means
// nothing then: the active node may be as cut off as this one, and goes on when the
// store is back.
func (s *State) readFailed(now clock.Instant) {
	if s.Attempt.Kind == None {
		s.Changed = now
		s.gap()
	} else if s.Attempt.Stage == Reading {
		s.Attempt.Stage, s.RetryAt = Blind, now.Add(retryPause)
	}
}

// lookAt returns when this node, a standby, is to read a record that its watch says
// nothing of.
func (s *State) lookAt() clock.Instant {
	if !s.Known {
		return s.Looked.Add(troublePause) // what was missing, a key perhaps, may be there now
	}
	if s.behind() || s.Careful && s.Hearsay.Gap {
		return s.Looked.Add(s.Timing.Beat)
	}
	if s.Record.Phase != Held {
		return s.Changed.Add(time.Hour) // it is there for the taking, see takeOverAt
	}
	return max(s.Changed.Add(silence*s.Timing.Beat), s.Looked.Add(s.Timing.Beat))
}

// due starts what the time has come for. At most one Commit is in flight.
func (s *State) due(now clock.Instant) []Effect {
	a := &s.Attempt
	switch {
	case a.Kind != None && now < s.RetryAt:
	case a.Stage == Pausing && a.Kind != None:
		a.Stage, a.SentAt = Sending, now
		return []Effect{Send{Again: true}}
	case a.Stage == Blind && a.Kind != None:
		a.Stage = Reading
		return []Effect{Read{}}
	case a.Kind != None:
	case s.Role == Active:
		return s.dueActive(now)
	case s.mustAsk():
		s.Hearsay.Asking = true
		return []Effect{Ask{Gaps: s.Hearsay.Gaps}}
	case s.Known && s.sure() && !s.Writes.Refused && now >= max(s.RetryAt, s.takeOverAt()):
		s.Role = Candidate
		r := s.Record
		r.Epoch, r.Before, r.Holder = r.Epoch+1, r.Batch, s.Self
		r.Phase, r.Target, r.Lease = Held, "", s.Timing.Lease
		return s.send(TakeOver, r, now)
	default:
		return s.dueStandby(now)
	}
	return nil
}

// dueStandby starts what a standby has to find out, besides the Commits.
func (s *State) dueStandby(now clock.Instant) (fx []Effect) {
	if now >= s.lookAt() {
		s.Looked = now
		fx = append(fx, Look{})
	}
	if at, ok := s.checkWritesAt(); ok && now >= at {
		s.Writes.Asking, s.Writes.Asked = true, now
		fx = append(fx, CheckWrites{})
	}
	return fx
}

func (s *State) dueActive(now clock.Instant) []Effect {
	switch {
	case s.Leaving && now >= s.RetryAt:
		r := s.Record
		r.Phase, r.Target = Released, ""
		if s.Target != "" {
			r.Phase, r.Target = HandedOff, s.Target
		}
		// Whatever becomes of it, this tenure answers nothing from memory any more (P2).
		s.Lease = 0
		return s.send(GiveUp, r, now)
	case s.Suspended:
		if now >= s.RetryAt {
			return s.send(Probe, s.Record, now)
		}
	case s.Work || now >= s.LastSent.Add(s.Timing.Beat):
		s.Work = false
		return s.send(Carry, s.Record, now)
	}
	return nil
}

// send starts a Commit of r on top of the record.
func (s *State) send(k Kind, r Record, now clock.Instant) []Effect {
	r.Seq++
	r.Batch = s.batchID()
	if s.Role == Active {
		r = r.raised(s.Agreed)
	}
	s.Attempt = Attempt{Kind: k, Guard: s.Version, Record: r, SentAt: now}
	return []Effect{Send{}}
}

// batchID returns an id that no Commit had before.
func (s *State) batchID() BatchID {
	s.issued++
	return BatchID(s.Self.ID + ":" + strconv.FormatUint(s.issued, 10))
}

// takeOverAt returns when this node may take the record over, as far as it knows.
func (s *State) takeOverAt() clock.Instant {
	at := s.Changed
	switch {
	case s.Record.Holder.ID == s.Self.ID:
		at = max(at, s.NotBefore) // given up by this node: others first
	case s.Record.Phase == HandedOff && s.Record.Target != s.Self.ID:
		at = at.Add(otherTarget)
	}
	if s.Record.Phase == Held {
		at = max(at, s.Changed.Add(s.Record.Lease*patienceNum/patienceDen))
	}
	return at
}

// seen takes in the record as it is in the store.
func (s *State) seen(e Seen, now clock.Instant) []Effect {
	if reason := s.outdated(e); reason != "" {
		return s.gone(Gone{Damage: WentBack, Reason: reason, Version: e.Version, Record: e.Record}, now)
	}
	if s.Attempt.Kind != None {
		if s.Attempt.Stage != Reading {
			return nil // a late watch; the Commit in flight will tell
		}
		return s.readBack(e, now)
	}
	if s.Role == Active {
		return nil // own Commits tell more
	}
	if s.Solo && s.Known && e.Version != s.Version && e.Record.Phase == Held && e.Record.Holder.ID != s.Self.ID {
		return []Effect{Refuse{Reason: "another node (" + e.Record.Holder.APIAddress +
			") is active on this store and high availability is disabled here; stop one of the two or enable it on both"}}
	}
	if s.isTwin(e) {
		return []Effect{Refuse{Reason: fmt.Sprintf("another node (instance %s) is active and advertises this node's address, %s: "+
			"two nodes must not share a configuration; give each an api_addr and a cluster_addr of its own",
			e.Record.Holder.ID, s.Self.ClusterAddress)}}
	}
	s.observe(e, now)
	return nil
}

// isTwin reports whether e shows that another node is active with this node's address. An
// earlier life of this node had that address too, but it can have only one Commit left
// on its way to the store.
func (s *State) isTwin(e Seen) bool {
	holder := e.Record.Holder
	if s.Known && e.Record.Phase == Held && e.Record.Seq > s.Record.Seq && holder.ID == s.Record.Holder.ID &&
		holder.ClusterAddress == s.Self.ClusterAddress && holder.ClusterAddress != "" {
		s.Twins++
	}
	return s.Twins > 1
}

func (s *State) observe(e Seen, now clock.Instant) {
	if !s.Known || e.Version != s.Version {
		s.Changed, s.Writes.Refused = now, false
	}
	s.endGap(e.Record)
	s.Known, s.Version, s.Record = true, e.Version, e.Record
	s.Trouble, s.Found, s.Newest = "", found{}, e.Record
}

// demote ends a tenure, or a candidacy. result is what became of the Carry in
// flight or in doubt.
func (s *State) demote(result Result, reason string) []Effect {
	var fx []Effect
	if s.carrying() {
		fx = append(fx, Resolve{Result: result})
	}
	if s.Role == Active {
		fx = append(fx, Become{Role: Standby, Reason: reason})
	}
	s.Role, s.Attempt, s.Lease = Standby, Attempt{}, 0
	s.Suspended, s.Leaving, s.Work = false, false, false
	s.Agreed = version.Set{}
	return fx
}

// carrying reports whether the outcome of a Carry is open.
func (s *State) carrying() bool {
	return s.Attempt.Kind == Carry || s.Attempt.Doubt != ""
}
