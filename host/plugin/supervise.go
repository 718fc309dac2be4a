package plugin

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/holdfast/holdfast/sdk/wire"
)

const (
	// The first restart is made at once; when it fails the next waits minBackoff, and
	// each one after twice as long, up to maxBackoff. A session that lasted resetAfter
	// starts anew.
	minBackoff = 100 * time.Millisecond
	maxBackoff = 5 * time.Second
	resetAfter = 2 * time.Second
)

var (
	errClosed = errors.New("closed")
	// errBroken: the plugin does not keep what it promised.
	errBroken = errors.New("plugin is broken")
	// errUnlike: what was started can not take the place of the plugin that was opened.
	errUnlike = errors.New("another plugin than before")
)

// supervisor is the goroutine that runs Storage.supervise, for others.
type supervisor struct {
	cancel   context.CancelFunc // ends it
	done     chan struct{}      // closed when it has ended
	closeErr error              // set before done is closed
	offers   chan offer         // from Reload
	broken   chan error         // gets the reason when the plugin is broken; buffered
}

// supervise keeps the plugin up, beginning with session, until ctx ends or the plugin
// is broken.
func (s *Storage) supervise(ctx context.Context, current *session) {
	defer close(s.done)
	defer s.cancel()
	backoff := time.Duration(0)
	for current != nil {
		started := time.Now()
		next, reason := current.run(ctx, s.offers)
		if next != nil {
			s.accept(*next, current)
			current, backoff = next.session, 0
			continue
		}
		if ctx.Err() != nil {
			s.end(errClosed)
			s.closeErr = current.close()
			return
		}
		current.peer.stop(0)
		if errors.Is(reason, errBroken) {
			s.breakdown(reason)
			break
		}
		s.down(reason)
		s.log.Warn("storage plugin lost; restarting", "error", reason)
		if time.Since(started) >= resetAfter {
			backoff = 0
		}
		current, backoff = s.restart(ctx, backoff)
	}
	// Broken, or closed while it was down.
	<-ctx.Done()
	s.end(errClosed)
}

// restart returns a session that works as the first one did, and the backoff if it
// ends soon. It returns no session when ctx ends or the plugin is broken.
func (s *Storage) restart(ctx context.Context, backoff time.Duration) (*session, time.Duration) {
	for {
		offered, ok := s.wait(ctx, backoff)
		switch {
		case !ok:
			return nil, 0
		case offered != nil:
			s.accept(*offered, nil)
			return offered.session, 0
		}
		backoff = min(max(2*backoff, minBackoff), maxBackoff)
		next, err := s.reconnect(ctx)
		switch {
		case err == nil:
			s.restarted(next)
			return next, backoff
		case ctx.Err() != nil:
			return nil, 0
		case errors.Is(err, errUnlike):
			s.breakdown(fmt.Errorf("%w: %w", errBroken, err))
			return nil, 0
		default:
			s.down(err)
			s.log.Warn("storage plugin not restarted", "error", err, "next", backoff)
		}
	}
}

// reconnect makes one attempt. A plugin that lost an ability is refused with
// errUnlike: the node relies on what it was told at the start.
func (s *Storage) reconnect(ctx context.Context) (*session, error) {
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	next, err := connect(ctx, s.spec, s.options, s.log)
	if errors.Is(err, errWrongPlugin) || errors.Is(err, wire.ErrBroken) {
		return nil, fmt.Errorf("%w: %w", errUnlike, err)
	}
	if err != nil {
		return nil, err
	}
	if got, want := next.backend.Capabilities(), s.capabilities; next.desc.HA != s.ha || got != want {
		err := fmt.Errorf("%w: it started with HA %t and %+v, and had HA %t and %+v before",
			errUnlike, next.desc.HA, got, s.ha, want)
		return nil, errors.Join(err, next.close())
	}
	return next, nil
}

// wait waits for d, or for a session that Reload offers. It returns false if ctx ends first.
func (s *Storage) wait(ctx context.Context, d time.Duration) (*offer, bool) {
	if d <= 0 {
		return nil, ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return nil, false
	case next := <-s.offers:
		return &next, true
	case <-timer.C:
		return nil, true
	}
}

// accept makes the session that was offered the one that calls use, and returns the one that
// it replaces to who offered it. That is nil if the plugin was down.
func (s *Storage) accept(next offer, replaced *session) {
	s.mu.Lock()
	s.info.Reloads++
	s.info.LastReload = time.Now()
	s.mu.Unlock()
	s.up(next.session)
	next.replaced <- replaced
}

// restarted makes session the one that calls use, in place of one that was lost.
func (s *Storage) restarted(session *session) {
	s.mu.Lock()
	s.info.Restarts++
	s.info.LastRestart = time.Now()
	s.mu.Unlock()
	s.up(session)
}

// up makes session the one that calls use.
func (s *Storage) up(session *session) {
	path, pid := session.peer.where()
	address := session.peer.address()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.info.Protocol, s.info.Started = wire.ProtocolVersion, time.Now()
	s.info.Name, s.info.Version, s.info.SDK = session.desc.Name, session.desc.Version, session.desc.SDK
	s.info.Path, s.info.PID, s.info.Address, s.info.LastWill = path, pid, address, session.wills.taken()
	s.set(session, nil)
}

// down makes calls wait.
func (s *Storage) down(reason error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.info.PID, s.info.Address, s.info.Started, s.info.LastError = 0, "", time.Time{}, reason
	s.set(nil, nil)
}

// breakdown makes calls fail until the end: nothing but an operator mends reason.
func (s *Storage) breakdown(reason error) {
	s.log.Error("storage plugin is broken; replace it and restart the server", "error", reason)
	s.down(reason)
	s.end(reason)
	s.broken <- reason // the only one: supervise ends with it
}

// end makes calls fail with reason from now on. The first reason stays.
func (s *Storage) end(reason error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.final != nil {
		return
	}
	s.info.PID, s.info.Address, s.info.Started = 0, "", time.Time{}
	s.set(nil, reason)
	close(s.ended)
}

// set tells the waiting calls. s.mu is held.
func (s *Storage) set(session *session, final error) {
	s.current, s.final = session, final
	close(s.changed)
	s.changed = make(chan struct{})
}
