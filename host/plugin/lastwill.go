package plugin

import (
	"context"
	"sync"
	"time"

	"github.com/holdfast/holdfast/sdk/storage"
	"github.com/holdfast/holdfast/sdk/wire"
)

// willTimeout bounds the call that arms or disarms a last will, together with the context of
// the Commit whose caller waits for it. A plugin that is well answers at once, from memory.
const willTimeout = time.Second

// lastWill is what the record at key is to become when this process is killed.
type lastWill struct {
	key   string
	value []byte
}

// SetLastWill leaves a last will: if this process is killed, the plugin moves the record at key
// from the state that the last Commit gave it to value, which ends a tenure at once
// instead of when its lease is out. A nil value takes the will back. It never blocks. It is for
// the one goroutine that makes the Commits on key, which come one after the other.
//
// The plugin gets the will after the next Commit that succeeds, and one that was restarted
// likewise. It is taken back before the next Commit: when a Commit is sent, the plugin
// has no will but the one set last. Without Info().LastWill nothing comes of it.
func (s *Storage) SetLastWill(key string, value []byte) {
	if value == nil {
		s.will.Store(nil)
		return
	}
	s.will.Store(&lastWill{key: key, value: value})
}

// willing is Commit with what SetLastWill says about it.
func (s *Storage) willing(ctx context.Context, run *session, commit func() error) error {
	will := s.will.Load()
	if err := run.wills.withdraw(ctx, run.backend, will); err != nil {
		return storage.NotApplied(err) // an old will could follow the Commit
	}
	if err := commit(); err != nil {
		return err
	}
	defer run.commitOn.Do(func() { close(run.committed) })
	if err := run.wills.leave(ctx, run.backend, will); err != nil {
		s.log.Warn("last will not left with the storage plugin", "error", err)
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.current == run {
			s.info.LastWill = run.wills.taken()
		}
	}
	return nil
}

// wills is what a session knows of the will in its plugin.
type wills struct {
	mu    sync.Mutex // guards the following; not held during calls
	takes bool       // the plugin has not refused one
	has   *lastWill  // the plugin certainly has it; nil: none, or not certainly
	may   *lastWill  // the plugin has it or none; nil: it certainly has none
}

// taken reports whether the plugin takes wills.
func (w *wills) taken() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.takes
}

// hold reports whether the plugin may have will.
func (w *wills) hold(will *lastWill) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return will != nil && w.may == will
}

// withdraw takes back the will that the plugin may have, unless it is keep.
func (w *wills) withdraw(ctx context.Context, b *wire.Backend, keep *lastWill) error {
	w.mu.Lock()
	may := w.may
	w.mu.Unlock()
	if may == nil || may == keep {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, willTimeout)
	defer cancel()
	if err := b.Disarm(ctx); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.has, w.may = nil, nil
	return nil
}

// leave gives will to the plugin, unless it has it. A failure costs nothing but time, if
// this process is killed before the next Commit, after which it is tried again.
func (w *wills) leave(ctx context.Context, b *wire.Backend, will *lastWill) error {
	w.mu.Lock()
	if will == nil || will == w.has || !w.takes {
		w.mu.Unlock()
		return nil
	}
	w.may = will // whatever becomes of the call
	w.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, willTimeout)
	defer cancel()
	err := b.Arm(ctx, will.key, will.value)
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case err == nil:
		w.has = will
	case storage.OutcomeOf(err) == storage.Unapplied: // and never will be
		w.takes, w.may = false, nil
	}
	return err
}
