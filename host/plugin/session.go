package plugin

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"

	pb "github.com/holdfast/holdfast/sdk/proto/holdfast/storage/v1"
	"github.com/holdfast/holdfast/sdk/storage"
	"github.com/holdfast/holdfast/sdk/wire"
)

const (
	// A plugin that hangs, and does not look stopped, gives no sign but this: it is
	// replaced when two pings in a row fail.
	pingInterval = 500 * time.Millisecond
	pingFailures = 2

	// stopGrace is how long a plugin may take to end when asked to.
	stopGrace = 2 * time.Second
)

var (
	// errWrongPlugin: another plugin is there than the one asked for. Trying again does
	// not mend it.
	errWrongPlugin = errors.New("wrong plugin")
	// errGone: the process has ended, or the connection to the plugin has.
	errGone = errors.New("plugin gone")
	// errRetired: the call belongs to the session that took this one's place.
	errRetired = errors.New("plugin replaced")
)

// peer is a plugin that can be talked to: a process, or an attachment.
type peer interface {
	connection() *grpc.ClientConn
	gone() <-chan struct{}         // closed when it has ended; nil if that can not be known
	stopped() <-chan struct{}      // gets one when a signal has stopped it; nil likewise
	where() (path string, pid int) // pid 0: not known, or not ours
	address() string               // unix:///path of its socket
	lastWill() bool                // it holds a descriptor of this process
	explain(err error) error       // adds how it ended, if it has
	quoting(err error) error       // adds its last words
	checksum(context.Context) (string, error)
	stop(grace time.Duration) // returns when nothing is left of it; within seconds
}

// session is one run of the plugin with a backend configured in it. It fails once, for
// good.
type session struct {
	peer     peer
	client   *wire.Client
	desc     wire.Description
	backend  *wire.Backend
	wills    wills
	patience Patience

	calls    sync.WaitGroup         // one for each call inside; added under Storage.mu while the session is current
	retired  chan struct{}          // closed by Storage.retire: another session takes the calls
	sum      atomic.Pointer[string] // sha256 of the program; nil until it is known
	commitOn sync.Once              // closes committed
	// committed is closed once a Commit has succeeded, and the last will was left if there is one.
	committed chan struct{}

	failOnce sync.Once
	failed   chan struct{} // closed by fail
	reason   error         // set before failed is closed
}

// connect starts or attaches to the plugin, checks that it is the one asked for, and
// configures it. On an error nothing is left running.
func connect(ctx context.Context, spec Spec, options []byte, log hclog.Logger) (*session, error) {
	p, err := reach(ctx, spec, log)
	if err != nil {
		return nil, err
	}
	s := &session{
		peer:      p,
		client:    wire.NewClient(conn{p.connection()}, spec.Type),
		patience:  spec.Patience.withDefaults(),
		failed:    make(chan struct{}),
		retired:   make(chan struct{}),
		committed: make(chan struct{}),
	}
	err = s.configure(ctx, spec, options)
	if err == nil {
		err = s.awaitReady(ctx)
	}
	if err != nil {
		if errors.Is(err, storage.ErrUnavailable) {
			err = p.explain(err)
		}
		p.stop(0)
		return nil, err
	}
	return s, nil
}

// reach starts or attaches to the plugin of spec. On an error nothing of it is left.
func reach(ctx context.Context, spec Spec, log hclog.Logger) (peer, error) {
	if spec.Attach != "" {
		attached, err := attach(spec.Attach)
		if err != nil {
			return nil, err
		}
		return attached, nil
	}
	started, err := launch(ctx, spec, log)
	if err != nil {
		return nil, err
	}
	return started, nil
}

func (s *session) configure(ctx context.Context, spec Spec, options []byte) error {
	desc, err := describe(ctx, s.client, spec.Type)
	if err != nil {
		return err
	}
	if err := checkOptions(spec, desc.Options); err != nil {
		return fmt.Errorf("check options: %w", err)
	}
	backend, err := s.client.Configure(ctx, options)
	if err != nil {
		return fmt.Errorf("configure plugin: %w", err)
	}
	s.desc, s.backend = desc, backend
	s.wills.takes = s.peer.lastWill() && desc.LastWill
	return nil
}

// awaitReady waits until the state of the connection shows what a call has proved. gRPC lets
// calls through a moment before it says READY (balancer_wrapper.go, UpdateState), and from here on
// any other state means that the connection is lost.
func (s *session) awaitReady(ctx context.Context) error {
	for s.peer.connection().GetState() == connectivity.Connecting {
		if !s.peer.connection().WaitForStateChange(ctx, connectivity.Connecting) {
			return fmt.Errorf("wait for the connection to the plugin: %w", ctx.Err())
		}
	}
	if !s.usable() {
		return fmt.Errorf("%w: the connection to the plugin was lost as soon as it was made", storage.ErrUnavailable)
	}
	return nil
}

// describe asks a plugin what it is, and checks that it is a plugin of the type want.
func describe(ctx context.Context, client *wire.Client, want string) (wire.Description, error) {
	desc, err := client.Describe(ctx)
	if errors.Is(err, storage.ErrUnsupported) {
		return wire.Description{}, fmt.Errorf("describe plugin: it does not serve %s, so it is older than the frozen protocol: upgrade the plugin: %w",
			pb.Plugin_ServiceDesc.ServiceName, err)
	}
	if err != nil {
		return wire.Description{}, fmt.Errorf("describe plugin: %w", err)
	}
	if err := checkDescription(desc, want); err != nil {
		return wire.Description{}, fmt.Errorf("check plugin: %w", err)
	}
	return desc, nil
}

// checkDescription reports why the plugin is not the one that was asked for.
func checkDescription(desc wire.Description, want string) error {
	if !slices.Contains(desc.Services, pb.Backend_ServiceDesc.ServiceName) {
		return fmt.Errorf("%w: it offers %s and not %s, which every version of this host needs: upgrade the plugin",
			errWrongPlugin, strings.Join(desc.Services, ", "), pb.Backend_ServiceDesc.ServiceName)
	}
	if desc.Name != want {
		return fmt.Errorf("%w: it describes itself as %q, want %q: a file was renamed or a command points to another plugin",
			errWrongPlugin, desc.Name, want)
	}
	return nil
}

// usable reports whether a call may be made. It is false as soon as the
// connection is gone, before anybody has learnt why.
func (s *session) usable() bool {
	select {
	case <-s.failed:
		return false
	default:
		return s.peer.connection().GetState() == connectivity.Ready
	}
}

// fail ends the session, which has to be replaced because of err.
func (s *session) fail(err error) {
	s.failOnce.Do(func() {
		s.reason = err
		close(s.failed)
	})
}

// run watches over the session until it fails, ctx ends, or another one is offered in its
// place. It returns why, or the offer.
func (s *session) run(ctx context.Context, offers <-chan offer) (*offer, error) {
	ctx, cancel := context.WithCancel(ctx)
	var watchers sync.WaitGroup
	defer watchers.Wait()
	defer cancel()
	watchers.Go(func() { s.watchPings(ctx) })
	watchers.Go(func() { s.watchStops(ctx) })
	watchers.Go(func() { s.watchConnection(ctx) })
	watchers.Go(func() { s.measure(ctx) })
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case next := <-offers:
		return &next, nil
	case <-s.peer.gone():
		s.fail(errGone)
	case <-s.failed:
	}
	if errors.Is(s.reason, errGone) {
		return nil, s.peer.explain(s.reason)
	}
	return nil, s.peer.quoting(s.reason)
}

// measure finds out which program runs. It takes some 0.1 s, for which nobody waits.
func (s *session) measure(ctx context.Context) {
	if sum, err := s.peer.checksum(ctx); err == nil {
		s.sum.Store(&sum)
	}
}

func (s *session) watchPings(ctx context.Context) {
	ticker := time.NewTicker(pingInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		var err error
		for range pingFailures {
			if err = s.ping(ctx); err == nil {
				break
			}
		}
		if err != nil && ctx.Err() == nil {
			s.fail(fmt.Errorf("plugin does not answer: %w", err))
			return
		}
	}
}

func (s *session) ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.patience.Silent/pingFailures)
	defer cancel()
	return s.client.Ping(ctx)
}

// watchStops fails the session when its process is stopped, as SIGSTOP does, and stays so.
// A process that is merely starved does not look like this, however slow it answers;
// neither does one that a debugger holds.
func (s *session) watchStops(ctx context.Context) {
	var due <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.peer.stopped():
			due = time.After(s.patience.Stopped) // anew: it has run since the last one
			continue
		case <-due:
		}
		if _, pid := s.peer.where(); isStopped(pid) {
			s.fail(fmt.Errorf("plugin is frozen: a signal has stopped its process %d", pid))
			return
		}
	}
}

// watchConnection fails the session at the first change of the connection, also one that
// gRPC mends by itself: calls that saw it wait for a new session.
func (s *session) watchConnection(ctx context.Context) {
	if s.peer.connection().WaitForStateChange(ctx, connectivity.Ready) {
		s.fail(errGone)
	}
}

// serve makes one call, which acquire has announced.
func (s *session) serve(call func(*session) error) error {
	defer s.calls.Done()
	return call(s)
}

// whileCurrent runs call with a context that also ends when the session is retired, and
// then returns errRetired in place of an error.
func (s *session) whileCurrent(ctx context.Context, call func(context.Context) error) error {
	bound, cancel := context.WithCancel(ctx)
	var watching sync.WaitGroup
	defer watching.Wait()
	defer cancel()
	watching.Go(func() {
		select {
		case <-s.retired:
			cancel()
		case <-bound.Done():
		}
	})
	err := call(bound)
	if err != nil && bound.Err() != nil && ctx.Err() == nil {
		return errRetired
	}
	return err
}

// close frees the backend and ends the peer, both within seconds.
func (s *session) close() error {
	err := s.backend.Close()
	s.peer.stop(stopGrace)
	if err != nil {
		return fmt.Errorf("close storage plugin: %w", err)
	}
	return nil
}
