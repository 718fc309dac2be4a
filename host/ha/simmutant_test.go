package ha

import (
	"testing"
	"time"

	"github.com/holdfast/holdfast/host/clock"
)

// mutant names a protocol that is broken on purpose, in one place.
type mutant string

// The mutants that clients, or an audit of the store, can notice.
const (
	noMutant mutant = ""

	noGuard      mutant = "the store ignores the guard"
	epochGuard   mutant = "the guard compares epochs only, and lost Commits are sent again"
	sameRecord   mutant = "a heartbeat writes the record as it is"
	noReadBack   mutant = "a conflict is answered by a new attempt on the version found"
	receiveLease mutant = "the lease runs from the answer, not from the sending"
	resendLease  mutant = "a second sending gives a lease like a first"
	hasty        mutant = "take-over after half the lease"
	noMargin     mutant = "take-over as soon as the lease is out, by one's own clock"
	noLeaseCheck mutant = "reads trust the role, not the lease"
	leaseKept    mutant = "giving up the record leaves the lease"
	earlyConfirm mutant = "a read is confirmed by a Commit that was sent before it"
	earlyProof   mutant = "a read is confirmed by a read of the record that began before it"
	earlyNews    mutant = "a slow read of the store is answered, though it may show a Commit whose outcome is open"
	staleFill    mutant = "what was read from the store is kept, though a Commit of the key was sent meanwhile"
	oldFill      mutant = "what was read from the store in one tenure is kept in the next, across a conflict"
	oldMemory    mutant = "the cache outlives the tenure"
	lostIsDone   mutant = "an unknown outcome is answered as success"
	lostIsNot    mutant = "an unknown outcome is answered as failure"
	lostAnew     mutant = "after an unknown outcome the writes go into another Commit"
	doubtIsNot   mutant = "what stays unknown is answered as failure"
	noSettle     mutant = "after three sendings a Commit counts as not applied, without settling it"
	wrongFate    mutant = "the fate of a Commit is told from the batch id of the one that settles it"
	anyAnswer    mutant = "a late answer to one Commit is taken for that to the next"
	looseRead    mutant = "what a look or watch finds is taken for the answer to the read after a conflict"
	halfRefusal  mutant = "a plugin that sends a Commit twice says that it was not applied when one of the two was refused"
	noHold       mutant = "a check-and-set does not hold its key"
	staleWill    mutant = "the last will is committed whatever the version"
	frozenWill   mutant = "a host that is stopped is taken for dead"
	sameEpoch    mutant = "a take-over keeps the epoch"
)

// The mutants that show in what a scenario takes care of.
const (
	silenceAway  mutant = "silence of the record counts while the store is away"
	noWriteCheck mutant = "a take-over that was refused is tried again, whether the store takes writes or not"
	handsOff     mutant = "what was handed to one node is taken by others at once"
	plainWill    mutant = "the last will has a seq like any Commit"
	noMemory     mutant = "nobody remembers what the store held before"
)

// mutants says within how many seeds each is to be noticed: about ten times as many as it
// takes on average. The last ones need a rare coincidence.
var mutants = []struct {
	within int
	of     []mutant
}{
	{200, []mutant{
		noGuard, epochGuard, sameRecord, noReadBack, sameEpoch, hasty, noMargin, receiveLease, noLeaseCheck, leaseKept,
		earlyConfirm, oldMemory, lostIsDone, lostIsNot, lostAnew, frozenWill, noHold,
	}},
	{2_000, []mutant{resendLease, noSettle, staleFill, anyAnswer, staleWill}},
	{30_000, []mutant{wrongFate, doubtIsNot, earlyProof, earlyNews, oldFill, looseRead, halfRefusal}},
}

// protocol runs one event through Step, or through what the mutant makes of it.
func (n *simNode) protocol(e Event, now clock.Instant) []Effect {
	before := n.state
	e = n.mutateEvent(e, now)
	var effects []Effect
	n.state, effects = n.state.Step(e, now)
	effects = n.mutateState(before, e, now, effects)
	if n.trace != nil {
		n.logf(n.name(), "%s", stepText(e, n.state, effects, now))
	}
	return effects
}

func (n *simNode) mutateEvent(e Event, now clock.Instant) Event {
	st := &n.state
	switch n.mutant {
	case hasty:
		n.hurry(now, st.Record.Lease/2)
	case noMargin:
		n.hurry(now, st.Record.Lease)
	case lostIsNot, lostAnew, lostIsDone:
		if _, lost := e.(Lost); lost && st.Attempt.Kind == Carry {
			return map[mutant]Event{lostIsNot: Rejected{}, lostAnew: Unapplied{}, lostIsDone: Done{Version: st.Attempt.Guard}}[n.mutant]
		}
	case silenceAway:
		if _, failed := e.(ReadFailed); failed && st.Role == Standby {
			return Tick{}
		}
	case noMemory:
		st.Newest, st.Hearsay, st.Careful = Record{}, hearsay{}, false
	case noReadBack:
		if seen, is := e.(Seen); is && st.Attempt.Stage == Reading && st.Role == Active {
			st.Version, st.Attempt.Guard, st.Attempt.Stage = seen.Version, seen.Version, Pausing
			return Tick{}
		}
	}
	return e
}

// hurry lets a standby take over when the record has been silent for that long.
func (n *simNode) hurry(now clock.Instant, silence time.Duration) {
	st := &n.state
	if st.Role == Standby && st.Known && st.Record.Phase == Held && now.Sub(st.Changed) > silence {
		st.Changed = 0
	}
}

func (n *simNode) mutateState(before State, e Event, now clock.Instant, effects []Effect) []Effect {
	st, was := &n.state, before.Attempt
	_, done := e.(Done)
	seen, read := e.(Seen)
	read = read && was.Stage == Reading
	switch n.mutant {
	case receiveLease:
		if done && was.Tries == 0 && was.Kind != GiveUp {
			st.Lease = now.Add(st.Timing.Lease)
		}
	case resendLease:
		if (done || read) && was.Tries > 0 && was.Kind != GiveUp && st.Role == Active {
			st.Lease = was.SentAt.Add(st.Timing.Lease)
		}
	case leaseKept:
		if st.Attempt.Kind == GiveUp && was.Kind != GiveUp {
			st.Lease = before.Lease
		}
	case noSettle:
		if st.Attempt.Kind == Settle && was.Kind == Carry {
			st.Attempt = Attempt{}
			return []Effect{Resolve{Result: Refused}}
		}
	case wrongFate:
		if read && was.Doubt != "" && st.Role == Standby && seen.Record.Epoch == was.Record.Epoch+1 {
			was.Doubt = ""
			effects[0] = Resolve{Result: fate(was, seen.Record)}
		}
	case sameRecord:
		if st.Attempt.Kind == Carry && was.Kind != Carry && len(n.queue) == 0 {
			st.Attempt.Record = st.Record
		}
	case noWriteCheck:
		st.Writes = writeCheck{}
	case handsOff:
		if st.Record.Phase == HandedOff && st.Version != before.Version {
			st.Changed = st.Changed.Add(-otherTarget)
		}
	case sameEpoch:
		if st.Attempt.Kind == TakeOver && was.Kind != TakeOver {
			st.Attempt.Record.Epoch--
		}
	}
	return effects
}

// TestSimulationMutants shows that the simulation notices a protocol that is wrong, on the
// seeds that the right one passes.
func TestSimulationMutants(t *testing.T) {
	for _, group := range mutants {
		within := group.within
		for _, m := range group.of {
			t.Run(string(m), func(t *testing.T) {
				t.Parallel()
				for seed := *simFirst + 1; seed <= *simFirst+uint64(within); seed++ {
					if bad := newSim(seed, anyWorld(seed), m).verdict(); bad != "" {
						t.Logf("noticed at seed %d, at most %d: %s", seed, within, bad)
						return
					}
				}
				t.Errorf("not noticed within %d seeds", within)
			})
		}
	}
}
