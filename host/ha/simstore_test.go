package ha

import (
	"strconv"
	"time"

	"github.com/holdfast/holdfast/sdk/storage"
)

// backend is how one kind of store behaves, as far as the protocol can notice.
type backend struct {
	name string
	// comparesValue: the guard names the value to be replaced besides its version (etcd).
	comparesValue bool
	// sameIsNothing: a put of the value that is there leaves the version (Consul).
	sameIsNothing bool
	// resends: an agent on the way may send a request twice (Consul's).
	resends float64
	// queues: what is asked while the connection is down is sent when it is up again, on
	// a new session and long after the caller has left (ZooKeeper's client).
	queues bool
	// losesAnswers: of requests that were carried out, at any time (etcd's client, when
	// its endpoint goes away).
	losesAnswers float64
	// elects: the members choose a new leader now and then. Until they have, nothing is
	// answered, and what had reached the old leader may come true afterwards, in any order.
	elects bool
}

var backends = []backend{
	{name: "consul", sameIsNothing: true, resends: 0.1, elects: true},
	{name: "etcd", comparesValue: true, losesAnswers: 0.03, elects: true},
	{name: "zookeeper", queues: true, elects: true},
	{name: "adversary", resends: 0.1, losesAnswers: 0.03, queues: true, elects: true},
}

// simStore is a store with the term record and a few registers, at 0 in the beginning.
type simStore struct {
	index    int // of the last change of anything: versions are taken from it
	version  storage.Version
	record   Record
	data     [simKeys]int
	watches  []func()
	refuses  float64 // share of requests to which it answers at once that it has done nothing
	hangs    bool    // does and answers nothing
	full     bool    // answers reads, and refuses writes at once
	electing bool
	limbo    []func() // what reached a leader that is being replaced
}

func (st *simStore) create() {
	st.index, st.version, st.record = 1, "1", FirstRecord("sim")
}

// simGuard is the condition of a Commit.
type simGuard struct {
	version storage.Version
	prev    Record
}

// simWrite sets a register.
type simWrite struct{ key, value int }

// receive carries out a request that has reached the store.
func (s *sim) receive(write bool, do, refuse func()) {
	st := &s.store
	switch {
	case st.electing:
		st.limbo = append(st.limbo, do)
	case st.hangs:
	case s.chance(st.refuses), write && st.full:
		refuse()
	default:
		do()
	}
}

// elect replaces the leader. What had reached the old one is applied when there is a new
// one, or never.
func (s *sim) elect(lasts time.Duration) {
	st := &s.store
	if st.electing {
		return
	}
	s.logf("store", "elects a leader for %v", lasts)
	st.electing = true
	s.after(lasts, func() {
		limbo := st.limbo
		st.electing, st.limbo = false, nil
		s.rnd.Shuffle(len(limbo), func(i, j int) { limbo[i], limbo[j] = limbo[j], limbo[i] })
		s.logf("store", "has a leader again; %d requests were under way", len(limbo))
		for _, do := range limbo {
			if !s.chance(0.3) {
				do()
			}
		}
	})
}

// commit is the one conditional, atomic step that stores offer.
func (s *sim) commit(g simGuard, r Record, writes []simWrite) Event {
	st := &s.store
	if !s.passes(g, r) {
		if s.trace != nil {
			s.logf("store", "conflict: %s on %s, it is at %s", r.Batch, g.version, st.version)
		}
		return Conflict{}
	}
	s.audit(r, writes)
	same := r == st.record
	st.record = r
	for _, w := range writes {
		st.data[w.key] = w.value
	}
	if !same || !s.backend.sameIsNothing {
		// Other users of the store count as well.
		st.index += 1 + s.rnd.IntN(3)
		st.version = storage.Version(strconv.Itoa(st.index))
	}
	if s.trace != nil {
		s.logf("store", "at %s: %s %s, writes %v", st.version, recordText(r), r.Batch, writes)
	}
	watches := st.watches
	st.watches = nil
	for _, fire := range watches {
		fire()
	}
	return Done{Version: st.version}
}

func (s *sim) passes(g simGuard, r Record) bool {
	st := &s.store
	switch s.mutant {
	case noGuard:
		return true
	case epochGuard:
		return r.Epoch >= st.record.Epoch
	case staleWill:
		if r.Batch.isWill() {
			return true
		}
	}
	return g.version == st.version && (!s.backend.comparesValue || g.prev == st.record)
}

// audit looks at every change of the store, whoever asked for it.
func (s *sim) audit(r Record, writes []simWrite) {
	old := s.store.record
	if term, known := s.tenures[r.Epoch]; !known {
		s.tenures[r.Epoch] = simTerm{r.Holder.ID, s.now}
	} else if term.holder != r.Holder.ID {
		s.problem("epoch %d has two holders: %s and %s", r.Epoch, term.holder, r.Holder.ID)
	}
	if r.sighting().Lacks(old.sighting()) {
		s.problem("the record goes back: %s after %s", recordText(r), recordText(old))
	}
	if len(writes) > 0 && r.Phase != Held {
		s.problem("writes come with a record that nobody holds: %s", recordText(r))
	}
	if r.Epoch == old.Epoch && old.Phase != Held && r.Phase == Held {
		s.problem("an epoch goes on after it was given up: %s after %s", recordText(r), recordText(old))
	}
	if r.Epoch == old.Epoch || !s.trusted {
		return
	}
	// Whoever answers from memory now does not know of the new epoch.
	for _, n := range s.nodes {
		if n.id() != r.Holder.ID && n.answersFromMemory() {
			s.problem("%s takes over while %s still has a lease", r.Holder.ID, n.id())
		}
	}
}
