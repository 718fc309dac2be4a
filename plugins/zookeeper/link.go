package zookeeper

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
)

// link keeps one session with one of the servers, and opens another when it is over.
type link struct {
	dialer    dialer
	addresses []string
	timeout   time.Duration // for opening a session, all servers tried

	mu      sync.Mutex // guards what follows
	current *session   // the last one; nil before the first
	opening *opening   // under way; else nil
	first   int        // in addresses, where to begin
}

// opening is one attempt to open a session, which all who need one wait for.
type opening struct {
	done    chan struct{}
	session *session // read session and err after done
	err     error
	cancel  context.CancelFunc
}

func newLink(d dialer, addresses []string, timeout time.Duration) *link {
	return &link{dialer: d, addresses: addresses, timeout: timeout, first: rand.IntN(len(addresses))}
}

// session returns a session that is not known to be over. It asks each server once: an
// error means that none of them serves.
func (l *link) session(ctx context.Context) (*session, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	l.mu.Lock()
	if l.current != nil && l.current.alive() {
		defer l.mu.Unlock()
		return l.current, nil
	}
	o := l.opening
	if o == nil {
		// Not the caller's context: others wait for the same attempt.
		octx, cancel := context.WithTimeout(context.WithoutCancel(ctx), l.timeout)
		o = &opening{done: make(chan struct{}), cancel: cancel}
		l.opening = o
		first := l.first
		l.dialer.work.Go(func() { l.open(octx, o, first) })
	}
	l.mu.Unlock()
	select {
	case <-o.done:
		return o.session, o.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// open makes the attempt o.
func (l *link) open(ctx context.Context, o *opening, first int) {
	defer o.cancel()
	var errs []error
	for i := range l.addresses {
		at := (first + i) % len(l.addresses)
		address := l.addresses[at]
		s, err := l.dialer.dial(ctx, address)
		if err == nil {
			o.session = s
			first = at + 1 // if this one is lost, another server comes first
			break
		}
		errs = append(errs, fmt.Errorf("%s: %w", address, err))
	}
	if o.session == nil {
		o.err = errors.Join(errs...)
	}
	l.mu.Lock()
	l.first = first % len(l.addresses)
	l.opening = nil
	if o.session != nil {
		l.current = o.session
	}
	l.mu.Unlock()
	close(o.done)
}

// close ends the session, or the attempt to open one.
func (l *link) close() {
	l.mu.Lock()
	o := l.opening
	l.mu.Unlock()
	if o != nil {
		o.cancel()
		<-o.done
	}
	l.mu.Lock()
	s := l.current
	l.mu.Unlock()
	if s != nil {
		s.close()
	}
}
