package ha

import (
	"fmt"

	"github.com/holdfast/holdfast/host/clock"
	"github.com/holdfast/holdfast/sdk/storage"
)

// done takes in that the Commit in flight succeeded.
func (s *State) done(e Done, now clock.Instant) []Effect {
	a := s.Attempt
	if a.Tries == 0 && a.Kind != GiveUp && a.Kind != Accept && !a.Record.sighting().Lacks(s.Hearsay.Newest) {
		// Counted from before the Commit was sent, and only if this very attempt is the
		// one that succeeded: nobody else can hold the record before then (P2).
		s.Lease = a.SentAt.Add(s.Timing.Lease)
	}
	return s.succeeded(e.Version, now)
}

// succeeded goes on from a Commit that is known to be the latest in the store.
func (s *State) succeeded(v storage.Version, now clock.Instant) []Effect {
	a, before := s.Attempt, s.Record
	if reason := s.refuted(a); reason != "" {
		s.Attempt.Stage = Reading // it is over
		return s.gone(Gone{Damage: WentBack, Reason: reason, Version: v, Record: a.Record}, now)
	}
	s.observe(Seen{Version: v, Record: a.Record}, now)
	s.LastSent, s.Suspended, s.Attempt = a.SentAt, false, Attempt{}
	switch a.Kind {
	case Carry:
		return []Effect{Resolve{Result: Applied}}
	case Settle:
		return []Effect{Resolve{Result: Again}}
	case TakeOver:
		s.Role, s.Work, s.Began = Active, true, a.Record.Seq
		return []Effect{Become{Role: Active, Reason: fmt.Sprintf("took over epoch %d: %s", a.Record.Epoch, before.ending())}}
	case GiveUp:
		s.NotBefore = now.Add(cooling)
		return s.demote(Doubtful, s.Reason)
	default:
		s.Work = true // reads may have been waiting while the store was away
		return nil
	}
}

// unapplied takes in that the Commit did not reach the store this time.
func (s *State) unapplied(now clock.Instant) []Effect {
	s.Suspended, s.RetryAt = s.Role == Active, now.Add(retryPause)
	if s.Attempt.Tries > 0 && s.Attempt.Kind != GiveUp {
		s.pauseOrSettle(now) // an earlier send of it may have
		return nil
	}
	kind := s.Attempt.Kind
	if kind == Settle {
		s.Attempt.Stage = Pausing // the doubt is still there
		return nil
	}
	s.Attempt = Attempt{}
	switch kind {
	case Carry:
		return []Effect{Resolve{Result: Again}}
	case TakeOver:
		s.Changed = now
		s.Writes.Refused, s.Writes.Asked = s.Record.Phase == Held, now
		return s.demote(Doubtful, "")
	case GiveUp:
		return s.leaveUntold(now)
	}
	return nil
}

// rejected takes in that the store will never take this Commit, because of what it carries.
func (s *State) rejected(now clock.Instant) []Effect {
	switch {
	case s.Attempt.Kind != Carry:
		return s.unapplied(now) // it carries nothing that could be left out
	case s.Attempt.Tries == 0:
		s.Attempt = Attempt{}
		return []Effect{Resolve{Result: Refused}}
	default:
		// This send was not applied, but an earlier one of the same Commit may have been.
		s.Attempt.Tries = maxTries
		s.pauseOrSettle(now)
		return nil
	}
}

// lost takes in that the Commit may have been applied, or may still be.
func (s *State) lost(e Lost, now clock.Instant) []Effect {
	s.Attempt.Tries++
	s.Suspended = s.Role == Active
	switch {
	case s.Attempt.Kind == GiveUp && s.Attempt.Tries >= maxTries:
		return s.leaveUntold(now)
	case s.Attempt.Kind == Carry && e.Unwanted:
		s.Attempt.Tries = maxTries // nobody wants it done any more: see to it that it stays undone
	}
	s.pauseOrSettle(now)
	return nil
}

// leaveUntold ends a tenure that was given up, though the store may not know: leaving does
// not wait for it. Nothing is in doubt, for nothing of this tenure was to follow. If
// the record still says that this node holds it, others take over when it has been silent.
func (s *State) leaveUntold(now clock.Instant) []Effect {
	s.NotBefore = now.Add(s.Record.Lease*patienceNum/patienceDen + cooling)
	return s.demote(Doubtful, s.Reason+"; the store could not be told")
}

// pauseOrSettle sends the identical Commit again after a pause, or, when that
// was done often enough, an empty one on the same version: only one of
// the two can win.
func (s *State) pauseOrSettle(now clock.Instant) {
	s.RetryAt = now.Add(retryPause)
	a := &s.Attempt
	a.Stage = Pausing
	if a.Kind != Carry || a.Tries < maxTries {
		return
	}
	doubt := a.Record.Batch
	r := s.Record
	r.Seq++
	r.Batch = s.batchID()
	s.Attempt = Attempt{Kind: Settle, Guard: s.Version, Record: r, Doubt: doubt, Stage: Pausing}
}

// readBack settles a conflict by the record as it is now.
func (s *State) readBack(e Seen, now clock.Instant) []Effect {
	a := s.Attempt
	switch {
	case e.Record.Batch == a.Record.Batch:
		// An attempt without an answer was the one: applied, and still the latest, as
		// this read, which began after it, proves.
		return s.succeeded(e.Version, now)
	case a.Doubt != "" && e.Record.Batch == a.Doubt:
		s.Attempt.Kind, s.Attempt.Record, s.Attempt.Doubt = Carry, e.Record, ""
		return s.succeeded(e.Version, now)
	case e.Version == a.Guard:
		// The store says both that the record moved and that it did not.
		s.Attempt.Stage, s.RetryAt = Pausing, now.Add(retryPause)
		s.Attempt.Tries = max(1, s.Attempt.Tries)
		return nil
	}
	result := fate(a, e.Record)
	s.gap() // there may be more that this node did not see
	s.observe(e, now)
	if s.Role == Candidate {
		return s.demote(result, "")
	}
	if e.Record.Holder.ID == "" {
		return s.demote(result, e.Record.ending())
	}
	return s.demote(result, fmt.Sprintf("epoch %d was taken over by %s", a.Record.Epoch, e.Record.Holder.APIAddress))
}

// fate tells from a successor's record what became of the Carry of a.
func fate(a Attempt, successor Record) Result {
	carry := a.Record.Batch
	if a.Doubt != "" {
		carry = a.Doubt
	}
	switch {
	case successor.Generation != a.Record.Generation || successor.Epoch != a.Record.Epoch+1:
		return Doubtful // later tenures say nothing of this one
	case successor.Before.isWill():
		return Doubtful // it followed this tenure's last Commit, whichever that was
	case successor.Before == carry:
		return Applied
	default:
		return Again
	}
}
