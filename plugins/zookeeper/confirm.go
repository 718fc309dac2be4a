package zookeeper

import (
	"context"

	"github.com/go-zookeeper/zk"
)

// A confirmation is one empty transaction, and the reads that wait for it.
//
// A server answers reads from what it has, which may be old, and ZooKeeper's sync asks a
// leader that may have been deposed. A transaction goes through the majority: when it is
// answered, the server has everything that was committed before it was sent, and
// so a read that follows on the same connection is linearizable. Reads that arrive
// while one is under way share the next.
type confirmation struct {
	done chan struct{}
	err  error // read it after done
}

// confirm returns when a transaction that began after the call is done.
func (s *session) confirm(ctx context.Context) error {
	s.mu.Lock()
	c := s.next
	if c == nil {
		c = &confirmation{done: make(chan struct{})}
		s.next = c
	}
	if !s.confirming {
		s.confirming = true
		s.work.Go(s.confirmAll)
	}
	s.mu.Unlock()
	select {
	case <-c.done:
		return c.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// confirmAll runs confirmations, one after the other, until none is wanted.
func (s *session) confirmAll() {
	for {
		s.mu.Lock()
		c := s.next
		s.next = nil
		if c == nil {
			s.confirming = false
			s.mu.Unlock()
			return
		}
		s.mu.Unlock()
		results, err := s.zc.Multi(&zk.CheckVersionRequest{Path: s.root, Version: -1})
		if len(results) == 0 { // else it was a transaction, also if the node is missing
			s.note(err)
			c.err = err
		}
		close(c.done)
	}
}
