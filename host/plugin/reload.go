package plugin

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/holdfast/holdfast/sdk/storage"
)

// drainTime is how long a process that was replaced may take for the calls in flight on it, and
// keeps the last will. It is longer than the requests of the bundled plugins to their stores (5 to
// 10 s), and than any pause between two Commits of an active node that is well.
const drainTime = 15 * time.Second

var (
	// ErrReloading means that another Reload is under way. Nothing was done.
	ErrReloading = errors.New("another reload of the storage plugin is under way")
	// ErrNotReloaded means that what was started can not take the place of the plugin that runs,
	// which goes on as if nothing had happened.
	ErrNotReloaded = errors.New("storage plugin not reloaded, and unchanged")

	errReplaced = errors.New("plugin replaced by a reload")
)

// offer is a session that Reload has made, to be used from now on.
type offer struct {
	session  *session
	replaced chan *session // gets the one used before, nil if there is none; buffered
}

// Reload replaces the plugin by a freshly started process of the program that is at its place
// now; with Attach it connects and configures anew. No call fails for it: the new process is
// started, checked and configured first, then takes all calls, and the old one ends when those in
// flight on it are done. Reload returns when nothing of the old one is left.
//
// The new process must be as capable as the first one was. If witness is not empty, both must
// give the same item for that key, value and version: a process that keeps the data in its own memory,
// or a program that looks for it elsewhere, is no replacement. If the plugin is down there is
// nothing to compare with.
//
// The error wraps ErrNotReloaded or ErrReloading. ctx bounds the time until the new process takes
// over, half a minute at most; the old one ends within drainTime and some seconds after that.
func (s *Storage) Reload(ctx context.Context, witness string) error {
	select {
	case s.reloading <- struct{}{}:
		defer func() { <-s.reloading }()
	default:
		return ErrReloading
	}
	began := time.Now()
	next, old, err := s.replace(ctx, witness)
	if err != nil {
		s.log.Warn("storage plugin not reloaded; the one that runs goes on", "error", err)
		return fmt.Errorf("%w: %w", ErrNotReloaded, err)
	}
	_, pid := next.peer.where()
	s.log.Info("storage plugin reloaded", "version", next.desc.Version, "pid", pid, "after", time.Since(began))
	if old != nil {
		s.retire(context.WithoutCancel(ctx), old, next)
	}
	return nil
}

// replace makes a new session the one that calls use, and returns it and the one before.
func (s *Storage) replace(ctx context.Context, witness string) (next, old *session, err error) {
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	var watching sync.WaitGroup
	defer watching.Wait()
	defer cancel()
	watching.Go(func() {
		select {
		case <-s.ended:
			cancel()
		case <-ctx.Done():
		}
	})
	if next, err = s.reconnect(ctx); err != nil {
		return nil, nil, s.orFinal(err)
	}
	if err := s.compare(ctx, next, witness); err != nil {
		return nil, nil, errors.Join(s.orFinal(err), next.close())
	}
	replaced := make(chan *session, 1)
	select {
	case s.offers <- offer{session: next, replaced: replaced}:
		return next, <-replaced, nil
	case <-ctx.Done():
		return nil, nil, errors.Join(s.orFinal(ctx.Err()), next.close())
	}
}

// orFinal returns why no plugin is used any more, if that is so, else err.
func (s *Storage) orFinal(err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.final != nil {
		return s.final
	}
	return err
}

// compare reports that next does not show, at witness, what the present session shows.
func (s *Storage) compare(ctx context.Context, next *session, witness string) error {
	if witness == "" {
		return nil
	}
	before, up, err := s.present(ctx, witness)
	switch {
	case !up:
		return nil
	case err != nil:
		return fmt.Errorf("read %s from the running process, to compare: %w", witness, err)
	}
	after, err := next.backend.Get(ctx, witness)
	switch {
	case errors.Is(err, storage.ErrNotFound):
		return fmt.Errorf("the new process does not find %s, which the running one has: either the data lives in the plugin's "+
			"process and would be lost, or the new program looks for it elsewhere", witness)
	case err != nil:
		return fmt.Errorf("read %s from the new process, to compare: %w", witness, err)
	case !bytes.Equal(before.Value, after.Value):
		return fmt.Errorf("the new process shows another value at %s than the running one: it uses another set of data", witness)
	case s.ha && before.Version != after.Version:
		return fmt.Errorf("the new process tells another version of %s than the running one: writes would conflict; "+
			"restart the server to use this program", witness)
	}
	return nil
}

// present reads key from the present session, whatever its state. It returns false if there is none.
func (s *Storage) present(ctx context.Context, key string) (item storage.Item, up bool, err error) {
	s.mu.Lock()
	current := s.current
	if current == nil {
		s.mu.Unlock()
		return storage.Item{}, false, nil
	}
	current.calls.Add(1) // as acquire does
	s.mu.Unlock()
	err = current.serve(func(run *session) error {
		item, err = run.backend.Get(ctx, key)
		return err
	})
	return item, true, err
}

// retire ends old, whose place next has taken, when nothing needs it any more.
//
// The last will in old can only be placed on a Commit that went through old. It is of use
// until one has gone through next, and can do nothing from then on, when next has it.
// So no moment but that of a Commit is without a will, and at no moment can both be
// committed: each is conditional on the version of the Commit that it follows.
func (s *Storage) retire(ctx context.Context, old, next *session) {
	ctx, cancel := context.WithTimeout(ctx, drainTime)
	defer cancel()
	await := func(what <-chan struct{}) {
		select {
		case <-what:
		case <-old.peer.gone():
		case <-s.ended:
		case <-ctx.Done():
		}
	}
	close(old.retired) // a Watch goes on in next
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		old.calls.Wait()
	}()
	await(finished)
	if old.wills.hold(s.will.Load()) {
		await(next.committed)
	}
	old.fail(errReplaced) // reads that it cuts off are made again
	if err := old.close(); err != nil {
		s.log.Warn("the storage plugin that was replaced did not end in order", "error", err)
	}
	<-finished
}
