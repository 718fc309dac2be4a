package wire

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	pb "github.com/holdfast/holdfast/sdk/proto/holdfast/storage/v1"
	"github.com/holdfast/holdfast/sdk/storage"
)

// WillTimeout bounds the commit of all last wills of a dead host. A standby that is not told
// takes over when the lease is out, so there is no use in being later than that.
const WillTimeout = time.Second

const (
	// willPause is the pause between two attempts at a will.
	willPause = 20 * time.Millisecond
	// maxOpenCommits is how many Commits of unknown outcome are remembered. A host has one
	// Commit in flight and settles it before the next, so there are two or three at most.
	maxOpenCommits = 16
)

// lastWill is the host's will for one backend, and what is known of the host's own Commits,
// which decide where the will may be put. It is safe for concurrent use, and its lock is held for
// moments only: calls that pass through never wait for a will.
type lastWill struct {
	mu      sync.Mutex // guards the following
	number  uint64     // of the last Arm or Disarm
	armed   bool
	key     string // of the record
	value   []byte // of the will
	commits ownCommits
}

// arm keeps value as the will for the record at key, unless number is out of date.
func (w *lastWill) arm(number uint64, key string, value []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if number > w.number {
		w.number, w.armed, w.key, w.value = number, true, key, value
	}
}

func (w *lastWill) disarm(number uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if number > w.number {
		w.number, w.armed, w.key, w.value = number, false, "", nil
	}
}

// begin takes note of a Commit that is about to be made. What it returns is called with the
// outcome; if the outcome never comes, it stays unknown.
func (w *lastWill) begin(guard storage.Guard) (settle func(storage.Version, error)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	number := w.commits.begin(guard)
	return func(version storage.Version, err error) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.commits.settle(number, guard, version, err)
	}
}

// successor returns the Commit that puts the will on top of the host's last one. sure says
// that the host's last Commit is known; otherwise the record has to be read. It returns false
// if there is no will.
func (w *lastWill) successor() (will storage.Guard, sure, armed bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.armed || w.key != w.commits.key {
		return storage.Guard{}, false, false
	}
	last := w.commits.last
	will = storage.Guard{Key: w.key, Version: last.version, Prev: last.value, Value: w.value}
	return will, last.version != "" && len(w.commits.open) == 0, true
}

// wrote reports whether value is that of one of the host's Commits that may be the latest.
func (w *lastWill) wrote(value []byte) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.commits.wrote(value)
}

// ownCommits are the host's Commits on one record that may be the latest in the store: the last
// one that succeeded, and those begun since whose outcome is not known. Commits are
// numbered as they begin, and the host begins one on top of what it knows of those before: of
// two that succeeded, the one with the higher number came later.
type ownCommits struct {
	key   string // of the record; a Commit on another key starts anew
	begun uint64
	last  ownCommit   // its version is empty if none succeeded
	open  []ownCommit // in the order of their numbers
}

type ownCommit struct {
	number  uint64
	value   []byte
	version storage.Version
}

func (c *ownCommits) begin(guard storage.Guard) (number uint64) {
	if guard.Key != c.key {
		*c = ownCommits{key: guard.Key, begun: c.begun}
	}
	c.begun++
	if len(c.open) == maxOpenCommits {
		c.open = append(c.open[:0:0], c.open[1:]...)
	}
	c.open = append(c.open, ownCommit{number: c.begun, value: guard.Value})
	return c.begun
}

func (c *ownCommits) settle(number uint64, guard storage.Guard, version storage.Version, err error) {
	applied := err == nil
	switch {
	case guard.Key != c.key:
		return
	case applied && number > c.last.number:
		c.last = ownCommit{number: number, value: guard.Value, version: version}
	case storage.OutcomeOf(err) == storage.Unknown && !applied:
		return
	}
	var open []ownCommit
	for _, o := range c.open {
		// What began before one that succeeded can not be applied any more.
		if o.number != number && o.number > c.last.number {
			open = append(open, o)
		}
	}
	c.open = open
}

func (c *ownCommits) wrote(value []byte) bool {
	if c.last.version != "" && bytes.Equal(value, c.last.value) {
		return true
	}
	for _, o := range c.open {
		if bytes.Equal(value, o.value) {
			return true
		}
	}
	return false
}

// CommitWills commits the last wills that the host has left, one for each backend, and returns how
// many are in the store. It is to be called once the host is certainly dead, and only then: an
// end of the connection, or a host that does not answer, is no death. It takes no
// longer than ctx, and WillTimeout.
func (s *Server) CommitWills(ctx context.Context) (committed int, err error) {
	ctx, cancel := context.WithTimeout(ctx, WillTimeout)
	defer cancel()
	s.mu.Lock()
	backends := make([]*openBackend, 0, len(s.backends))
	for _, b := range s.backends {
		backends = append(backends, b)
	}
	s.mu.Unlock()

	type result struct {
		committed bool
		err       error
	}
	results := make(chan result, len(backends))
	for _, b := range backends {
		go func() { // an author's code that ignores ctx is left behind: the process ends
			done, err := b.commitWill(ctx)
			results <- result{done, err}
		}()
	}
	var errs []error
	for range backends {
		select {
		case r := <-results:
			errs = append(errs, r.err)
			if r.committed {
				committed++
			}
		case <-ctx.Done():
			return committed, errors.Join(append(errs, ctx.Err())...)
		}
	}
	return committed, errors.Join(errs...)
}

// commitWill commits the will, if there is one and the record is still the host's. An attempt
// that fails, or whose outcome is unknown, is followed by another on the record as it is then: each is
// conditional on one version, so that at most one of them is applied.
func (b *openBackend) commitWill(ctx context.Context) (committed bool, err error) {
	will, sure, armed := b.will.successor()
	ha, ok := b.backend.(storage.HABackend)
	if !armed || !ok {
		return false, nil
	}
	ctx, leave, err := b.enter(ctx)
	if err != nil {
		return false, nil // closed by the host: in order
	}
	defer leave()
	for {
		if !sure {
			committed, more, readErr := b.rebase(ctx, ha, &will)
			if err = readErr; err == nil && !more {
				return committed, nil
			}
		}
		if err == nil {
			if _, err = ha.Commit(ctx, will, nil); err == nil {
				return true, nil
			}
		}
		sure = false
		select {
		case <-time.After(willPause):
		case <-ctx.Done():
			return false, fmt.Errorf("commit the last will: %w", err)
		}
	}
}

// rebase makes will the successor of the record as it is in the store. There is nothing more to
// do if the will is there already, or if the record is not the host's any more.
func (b *openBackend) rebase(ctx context.Context, ha storage.HABackend, will *storage.Guard) (committed, more bool, err error) {
	item, err := ha.Get(ctx, will.Key)
	switch {
	case errors.Is(err, storage.ErrNotFound):
		return false, false, nil
	case err != nil:
		return false, false, err
	case bytes.Equal(item.Value, will.Value):
		return true, false, nil
	case !b.will.wrote(item.Value):
		return false, false, nil
	}
	will.Version, will.Prev = item.Version, item.Value
	return false, true, nil
}

// willService takes the wills of the host. It is registered together with haService.
type willService struct {
	pb.UnimplementedLastWillServer

	server *Server
}

func (s willService) Arm(ctx context.Context, req *pb.ArmRequest) (*pb.ArmResponse, error) {
	err := s.server.call(ctx, req.GetBackendId(), func(_ context.Context, b *openBackend) error {
		if !s.server.impl.WatchesHost {
			return fmt.Errorf("%w: this process has no descriptor of its host", storage.ErrUnsupported)
		}
		guard := storage.Guard{Key: req.GetKey(), Value: req.GetValue()}
		if err := checkCommit(b.limits, guard, nil); err != nil {
			return err
		}
		b.will.arm(req.GetNumber(), guard.Key, guard.Value)
		return nil
	})
	return &pb.ArmResponse{}, err
}

func (s willService) Disarm(ctx context.Context, req *pb.DisarmRequest) (*pb.DisarmResponse, error) {
	err := s.server.call(ctx, req.GetBackendId(), func(_ context.Context, b *openBackend) error {
		b.will.disarm(req.GetNumber())
		return nil
	})
	return &pb.DisarmResponse{}, err
}
