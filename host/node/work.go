package node

import (
	"context"
	"sync"
	"time"
)

// work does what no request waits for, until the tenure, whose context is ctx, ends.
func (s *session) work(ctx context.Context) {
	var tasks sync.WaitGroup
	defer tasks.Wait()
	tasks.Go(func() { s.keepAt(ctx, "look after the encryption key", s.keys.Run) })
	if s.node.cfg.Storage.HA() {
		tasks.Go(func() { s.keepAt(ctx, "keep the list of members", s.keepRoster) })
	}
	if err := s.logical.Run(ctx); err != nil && ctx.Err() == nil {
		s.node.cfg.Logger.Error("remove the data of removed mounts", "error", err)
	}
}

// keepAt runs do again and again until ctx ends: a store that is away for a while must not
// stop for good what belongs to the tenure.
func (s *session) keepAt(ctx context.Context, what string, do func(context.Context) error) {
	for ctx.Err() == nil {
		if err := do(ctx); err != nil && ctx.Err() == nil {
			s.node.cfg.Logger.Warn("background work failed; trying again", "work", what, "error", err)
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
		}
	}
}
