package node

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/holdfast/holdfast/host/cluster"
	pb "github.com/holdfast/holdfast/host/cluster/proto/holdfast/cluster/v1alpha"
	"github.com/holdfast/holdfast/host/ha"
)

// maxPeers is how many addresses of other nodes are kept, and asked at a time.
const maxPeers = 64

// tellPause is the pause between two rounds of telling others, while the record is damaged.
const tellPause = time.Second

// peers are the cluster addresses where other nodes are, or were: those that a node meets,
// and those that it finds in the store. They are where to ask what others saw. It is
// safe for concurrent use.
type peers struct {
	mu    sync.Mutex
	known map[string]time.Time // by address: when it was heard of last; guarded by mu
}

// meet keeps addresses, which may be empty.
func (p *peers) meet(addresses ...string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.known == nil {
		p.known = map[string]time.Time{}
	}
	for _, address := range addresses {
		if address != "" {
			p.known[address] = time.Now()
		}
	}
	for len(p.known) > maxPeers {
		oldest := slices.MinFunc(slices.Collect(maps.Keys(p.known)), func(a, b string) int { return p.known[a].Compare(p.known[b]) })
		delete(p.known, oldest)
	}
}

// targets returns whom to ask: all but the node at self.
func (p *peers) targets(self string) []cluster.Target {
	p.mu.Lock()
	defer p.mu.Unlock()
	var list []cluster.Target
	for address := range p.known {
		// Whichever instance is there now: it may have been restarted.
		if target, err := cluster.ParseTarget(address, ""); err == nil && address != self {
			list = append(list, target)
		}
	}
	return list
}

// meetAll keeps the addresses of all nodes that this one knows of at the moment.
func (s *session) meetAll() {
	snapshot := s.driver.Snapshot()
	s.peers.meet(snapshot.Record.Holder.ClusterAddress, snapshot.Lost.Holder.ClusterAddress)
	for _, m := range s.members.Members() {
		s.peers.meet(m.ClusterAddress)
	}
	if listed := s.listed.Load(); listed != nil {
		for _, m := range listed.members {
			s.peers.meet(m.ClusterAddress)
		}
	}
}

// meetRoster keeps the addresses in the roster, as the store has it. A node that has just been
// unsealed has met nobody.
func (s *session) meetRoster(ctx context.Context) {
	plain, err := direct{s.node.cfg.Storage, s.barrier, s.reloadKeyring}.Get(ctx, rosterKey)
	var known roster
	if err == nil {
		err = json.Unmarshal(plain, &known)
	}
	if err != nil {
		s.node.cfg.Logger.Debug("no members known from the store", "error", err)
	}
	for _, entry := range known {
		s.peers.meet(entry.ClusterAddress)
	}
}

// rosterTime bounds the read of the roster before others are asked.
const rosterTime = 300 * time.Millisecond

// askOthers tells all nodes that can be reached before ctx ends how far this one knows the
// record to have come, and returns how far they do.
func (s *session) askOthers(ctx context.Context) ha.Sighting {
	s.meetAll()
	rctx, cancel := context.WithTimeout(ctx, rosterTime)
	s.meetRoster(rctx)
	cancel()
	mine := s.sighting()
	targets := s.peers.targets(s.self.ClusterAddress)
	answers := make([]ha.Sighting, len(targets))
	var asking sync.WaitGroup
	for i, target := range targets {
		asking.Go(func() {
			theirs, err := s.dialer.Compare(ctx, target, mine)
			if err != nil {
				s.node.cfg.Logger.Debug("another node does not tell what it saw of the term record", "error", err)
				return
			}
			answers[i] = sightingFromProto(theirs)
		})
	}
	asking.Wait()
	var newest ha.Sighting
	for _, theirs := range answers {
		newest = newest.Join(theirs)
	}
	return newest
}

// othersAsked is askOthers for the driver: nil where there are no other nodes.
func (s *session) othersAsked() func(context.Context) ha.Sighting {
	if !s.node.ha {
		return nil
	}
	return s.askOthers
}

// compare takes what another node saw, and returns what this one did.
func (s *session) compare(ctx context.Context, theirs *pb.Sighting) *pb.Sighting {
	s.peers.meet(theirs.GetFrom())
	if told := sightingFromProto(theirs); told != (ha.Sighting{}) {
		s.driver.Heard(ctx, told)
	}
	return s.sighting()
}

// tell tells the others what this node saw, again and again, while the record in the store is
// damaged: one of them may be about to go on from an older state, or may have done so.
func (s *session) tell(ctx context.Context) {
	for ctx.Err() == nil {
		v := s.view.current.Load()
		var again <-chan time.Time
		if s.driver.Snapshot().RecordLost != "" {
			actx, cancel := context.WithTimeout(ctx, tellPause)
			if heard := s.askOthers(actx); heard != (ha.Sighting{}) {
				s.driver.Heard(ctx, heard)
			}
			cancel()
			again = time.After(tellPause)
		}
		select {
		case <-v.changed:
		case <-again:
		case <-ctx.Done():
		}
	}
}

// sighting is what this node tells others.
func (s *session) sighting() *pb.Sighting {
	seen := s.driver.Snapshot().Seen
	return &pb.Sighting{Generation: seen.Generation, Epoch: seen.Epoch, Seq: seen.Seq, From: s.self.ClusterAddress}
}

func sightingFromProto(p *pb.Sighting) ha.Sighting {
	return ha.Sighting{Generation: p.GetGeneration(), Epoch: p.GetEpoch(), Seq: p.GetSeq()}
}
