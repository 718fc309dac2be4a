package store

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

// mode is how a key is held. Holders in shared mode do not exclude each other; a
// holder in exclusive mode excludes everybody.
type mode bool

const (
	shared    mode = false // for blind writes: each replaces the key whatever it was
	exclusive mode = true  // for requests that read in order to write (P9)
)

// errHeld: the holder of a key did not let it go in time.
var errHeld = errors.New("another request holds it")

// locks holds keys for requests, first come first served.
type locks struct {
	patience time.Duration // how long to wait for one key: as long as its holder does not know its outcome

	mu   sync.Mutex
	keys map[string]*keyLock // guarded by mu; absent = free
}

type keyLock struct {
	holders int
	mode    mode
	waiters []*waiter
}

type waiter struct {
	mode    mode
	granted chan struct{}
}

// acquire holds all keys until release is called, which may be done from any
// goroutine, once. It returns errHeld after patience, and the context's error if ctx ends
// first. The keys are taken in one global order, so requests can not wait for each other
// in a circle.
func (l *locks) acquire(ctx context.Context, m mode, keys ...string) (release func(), err error) {
	keys = slices.Compact(slices.Sorted(slices.Values(keys)))
	for i, key := range keys {
		if err := l.acquireOne(ctx, m, key); err != nil {
			l.release(keys[:i])
			return nil, err
		}
	}
	return func() { l.release(keys) }, nil
}

func (l *locks) acquireOne(ctx context.Context, m mode, key string) error {
	l.mu.Lock()
	k := l.keys[key]
	if k == nil {
		l.keys[key] = &keyLock{holders: 1, mode: m}
		l.mu.Unlock()
		return nil
	}
	if m == shared && k.mode == shared && len(k.waiters) == 0 {
		k.holders++
		l.mu.Unlock()
		return nil
	}
	w := &waiter{mode: m, granted: make(chan struct{})}
	k.waiters = append(k.waiters, w)
	l.mu.Unlock()
	timer := time.NewTimer(l.patience)
	defer timer.Stop()
	var err error
	select {
	case <-w.granted:
		return nil
	case <-timer.C:
		err = errHeld
	case <-ctx.Done():
		err = ctx.Err()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if i := slices.Index(k.waiters, w); i >= 0 {
		k.waiters = slices.Delete(k.waiters, i, i+1)
		l.grant(key, k) // those behind an exclusive waiter may be free to go now
	} else {
		l.releaseOne(key) // granted at the last moment
	}
	return err
}

func (l *locks) release(keys []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, key := range keys {
		l.releaseOne(key)
	}
}

// releaseOne gives up one hold of key. l.mu is held.
func (l *locks) releaseOne(key string) {
	k := l.keys[key]
	k.holders--
	l.grant(key, k)
}

// grant lets the waiters of key go whose turn it is. l.mu is held.
func (l *locks) grant(key string, k *keyLock) {
	for len(k.waiters) > 0 {
		w := k.waiters[0]
		if k.holders > 0 && (w.mode == exclusive || k.mode == exclusive) {
			return
		}
		k.waiters = k.waiters[1:]
		k.holders, k.mode = k.holders+1, w.mode
		close(w.granted)
	}
	if k.holders == 0 {
		delete(l.keys, key)
	}
}
