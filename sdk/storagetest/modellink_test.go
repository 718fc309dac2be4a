package storagetest_test

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/holdfast/holdfast/sdk/storage"
	"github.com/holdfast/holdfast/sdk/storagetest"
)

// modelLink is a way to a model, on which a call is one message there and one back.
type modelLink struct {
	open func(*modelLink) storage.Backend

	mu      sync.Mutex // guards the following
	now     condition
	changed chan struct{} // closed and replaced when now changes
}

// condition is what a modelLink does to what passes.
type condition struct {
	cut, held bool
	delay     time.Duration
	fuse      *fuse
}

// fuse is what is left of CutAfter.
type fuse struct {
	direction storagetest.Direction
	left      int
}

var _ storagetest.Link = (*modelLink)(nil)

func newModelLink(open func(*modelLink) storage.Backend) *modelLink {
	return &modelLink{open: open, changed: make(chan struct{})}
}

func (l *modelLink) Open(context.Context) (storage.Backend, storage.Capabilities, error) {
	return l.open(l), storage.Capabilities{Limits: modelLimits}, nil
}

func (l *modelLink) set(now condition) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.now = now
	close(l.changed)
	l.changed = make(chan struct{})
}

func (l *modelLink) Cut()                  { l.set(condition{cut: true}) }
func (l *modelLink) Hold()                 { l.set(condition{held: true}) }
func (l *modelLink) Heal()                 { l.set(condition{}) }
func (l *modelLink) Delay(d time.Duration) { l.set(condition{delay: d}) }
func (l *modelLink) Close() error          { return nil }

func (l *modelLink) CutAfter(direction storagetest.Direction, messages int) {
	l.set(condition{fuse: &fuse{direction, messages}})
}

func (l *modelLink) IsCut() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.now.cut
}

// pass lets one message pass.
func (l *modelLink) pass(ctx context.Context, direction storagetest.Direction) error {
	for {
		l.mu.Lock()
		if f := l.now.fuse; f != nil && f.direction == direction {
			if f.left--; f.left < 0 {
				l.now = condition{cut: true}
			}
		}
		now, changed := l.now, l.changed
		l.mu.Unlock()
		if now.cut {
			return storage.ErrUnavailable
		}
		var due <-chan time.Time
		if !now.held {
			due = time.After(now.delay)
		}
		select {
		case <-due:
			return nil
		case <-changed:
		case <-ctx.Done():
			return errors.Join(storage.ErrUnavailable, ctx.Err())
		}
	}
}

// roundTrip is one call; do may be nil.
func (l *modelLink) roundTrip(ctx context.Context, do func() error) error {
	if l == nil {
		if do == nil {
			return nil
		}
		return do()
	}
	if err := l.pass(ctx, storagetest.ToStore); err != nil {
		return storage.NotApplied(err)
	}
	var err error
	if do != nil {
		err = do()
	}
	if lost := l.pass(ctx, storagetest.FromStore); lost != nil {
		return lost // whatever the answer was
	}
	return err
}
