package plugin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/go-hclog"

	"github.com/holdfast/holdfast/sdk/storage"
	"github.com/holdfast/holdfast/sdk/wire"
)

var _ storage.HABackend = (*Storage)(nil)

// Storage is a storage backend in a plugin that is kept alive: when the process dies or
// freezes it is killed, restarted and configured again. It is safe for concurrent use.
//
// A call made while the plugin is down waits until it is back or ctx ends; it then
// fails with [storage.ErrUnavailable], wrapped in [storage.NotApplied]. When the plugin dies
// with a call in flight, Get and List are made again; Write, Commit and Watch fail at once
// with ErrUnavailable, and the outcome of a write is unknown. A plugin that comes back
// less capable than it was is broken, and each call fails.
//
// Without HA, Commit and Watch return [storage.ErrUnsupported].
type Storage struct {
	spec         Spec
	options      []byte // JSON
	log          hclog.Logger
	capabilities storage.Capabilities
	ha           bool

	supervisor
	reloading chan struct{} // holds one element while Reload runs
	ended     chan struct{} // closed when final is set

	will atomic.Pointer[lastWill] // nil: none

	mu      sync.Mutex // guards the following
	current *session   // nil while the plugin is down
	changed chan struct{}
	final   error // not nil: closed or broken, for good
	info    Info
}

// Open finds, starts, checks and configures the plugin of spec; the error says which
// step did not work. All of it ends with ctx and takes half a minute at most. ctx
// does not bound the life of the Storage: Close ends it.
func Open(ctx context.Context, spec Spec, logger hclog.Logger) (*Storage, error) {
	s, err := open(ctx, spec, logger)
	if err != nil {
		return nil, fmt.Errorf("open storage %q: %w", spec.Type, err)
	}
	return s, nil
}

func open(ctx context.Context, spec Spec, logger hclog.Logger) (*Storage, error) {
	options, err := json.Marshal(spec.Options)
	if err != nil {
		return nil, fmt.Errorf("encode options: %w", err)
	}
	if spec.Options == nil {
		options = []byte("{}")
	}
	for _, variable := range spec.Env {
		if !strings.Contains(variable, "=") {
			return nil, errors.New("plugin env: want each variable as NAME=value") // it may be a secret
		}
	}
	log := logger.Named("plugin." + spec.Type)
	if spec.Attach == "" {
		sweepSocketDirs(log)
	}
	opening, cancelOpening := context.WithTimeout(ctx, openTimeout)
	defer cancelOpening()
	first, err := connect(opening, spec, options, log)
	if err != nil {
		return nil, err
	}
	if started, ok := first.peer.(*process); ok {
		started.reportTrust(log)
	}
	life, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s := &Storage{
		spec:         spec,
		options:      options,
		log:          log,
		capabilities: first.backend.Capabilities(),
		ha:           first.desc.HA,
		supervisor: supervisor{
			cancel: cancel, done: make(chan struct{}), offers: make(chan offer), broken: make(chan error, 1),
		},
		reloading: make(chan struct{}, 1),
		ended:     make(chan struct{}),
		changed:   make(chan struct{}),
	}
	s.up(first)
	go s.supervise(life, first) // ended and awaited by Close
	return s, nil
}

// Capabilities are what the backend declared. They do not change.
func (s *Storage) Capabilities() storage.Capabilities { return s.capabilities }

// HA reports whether the plugin offers Commit and Watch. It does not change, and says
// nothing about the configuration: see Capabilities().HADisabled.
func (s *Storage) HA() bool { return s.ha }

// Info is a snapshot of what runs. It never blocks.
func (s *Storage) Info() Info {
	s.mu.Lock()
	defer s.mu.Unlock()
	info := s.info
	if s.current != nil {
		if sum := s.current.sum.Load(); sum != nil {
			info.SHA256 = *sum
		}
	}
	return info
}

// Broken delivers, once, why the plugin will never work again: one that was started in place
// of the first is less capable, or it does not do what it offers. Each call fails from then on.
func (s *Storage) Broken() <-chan error { return s.broken }

// Get implements storage.Backend.
func (s *Storage) Get(ctx context.Context, key string) (item storage.Item, err error) {
	err = s.do(ctx, true, func(run *session) error {
		item, err = run.backend.Get(ctx, key)
		return err
	})
	return item, err
}

// List implements storage.Backend.
func (s *Storage) List(ctx context.Context, prefix, after string, limit int) (names []string, err error) {
	err = s.do(ctx, true, func(run *session) error {
		names, err = run.backend.List(ctx, prefix, after, limit)
		return err
	})
	return names, err
}

// Write implements storage.Backend.
func (s *Storage) Write(ctx context.Context, ops []storage.Op) error {
	return s.do(ctx, false, func(run *session) error { return run.backend.Write(ctx, ops) })
}

// Commit implements storage.HABackend.
func (s *Storage) Commit(ctx context.Context, guard storage.Guard, ops []storage.Op) (version storage.Version, err error) {
	err = s.doHA(ctx, func(run *session) error {
		return s.willing(ctx, run, func() error {
			version, err = run.backend.Commit(ctx, guard, ops)
			return err
		})
	})
	return version, err
}

// Watch implements storage.HABackend.
func (s *Storage) Watch(ctx context.Context, key string, seen storage.Version) (item storage.Item, err error) {
	err = s.doHA(ctx, func(run *session) error {
		return run.whileCurrent(ctx, func(ctx context.Context) error {
			item, err = run.backend.Watch(ctx, key, seen)
			return err
		})
	})
	return item, err
}

// Close frees the backend and ends the plugin, within seconds even if it is frozen.
// Nothing of it is left: no process, no socket. Calls fail afterwards; Close
// may be called again.
func (s *Storage) Close() error {
	s.cancel()
	<-s.done
	s.reloading <- struct{}{} // a Reload under way notices, and stops what it has started
	<-s.reloading
	return s.closeErr
}

// do makes one call. When the plugin is lost, or has forgotten its backend, the call is made
// again if it is repeatable, or if the first one certainly did nothing.
func (s *Storage) do(ctx context.Context, repeatable bool, call func(*session) error) error {
	for {
		run, err := s.acquire(ctx)
		if err != nil {
			return err
		}
		err = run.serve(call)
		if errors.Is(err, errRetired) {
			continue
		}
		if errors.Is(err, wire.ErrUnconfigured) {
			run.fail(err)
			continue
		}
		again := repeatable || storage.OutcomeOf(err) == storage.Unapplied
		if !errors.Is(err, storage.ErrUnavailable) || !again || run.usable() {
			return err
		}
	}
}

// doHA is do for a call of storage.HABackend. A plugin that offered it and then does not
// do it is broken.
func (s *Storage) doHA(ctx context.Context, call func(*session) error) error {
	return s.do(ctx, false, func(run *session) error {
		err := call(run)
		_, aboutOp := errors.AsType[*storage.OpError](err) // the request is to blame
		if s.ha && errors.Is(err, storage.ErrUnsupported) && !aboutOp {
			run.fail(fmt.Errorf("%w: it offers high availability and does not have it: %w", errBroken, err))
		}
		return err
	})
}

// acquire waits until the plugin is up, and announces a call to its session: serve makes it.
func (s *Storage) acquire(ctx context.Context) (*session, error) {
	for {
		s.mu.Lock()
		current, changed, final, last := s.current, s.changed, s.final, s.info.LastError
		if current != nil {
			current.calls.Add(1) // before anybody can wait for the calls of a session that was replaced
		}
		s.mu.Unlock()
		if final != nil {
			return nil, s.unavailable(final.Error(), nil)
		}
		if current != nil {
			if current.usable() {
				return current, nil
			}
			current.calls.Done()
			current.fail(errGone) // if nobody has seen it yet, nobody would wake this call
		}
		select {
		case <-changed:
		case <-ctx.Done():
			why := "plugin is down"
			if last != nil {
				why += " (" + last.Error() + ")"
			}
			return nil, s.unavailable(why, ctx.Err())
		}
	}
}

// unavailable is the error of a call that was not sent. ended is the context's error, if that
// is what ended the wait. Why is text, because its sentinels are about something else.
func (s *Storage) unavailable(why string, ended error) error {
	if ended == nil {
		return storage.NotApplied(fmt.Errorf("storage plugin %s: %w: %s", s.spec.Type, storage.ErrUnavailable, why))
	}
	return storage.NotApplied(fmt.Errorf("storage plugin %s: %w: %s: %w", s.spec.Type, storage.ErrUnavailable, why, ended))
}
