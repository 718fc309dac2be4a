package cluster

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"

	pb "github.com/holdfast/holdfast/host/cluster/proto/holdfast/cluster/v1alpha"
)

const (
	connectTimeout     = time.Second // of one attempt, TLS included
	defaultIdleTimeout = time.Minute

	// formerGrace is how long calls to a former target may last: a node that hands over answers
	// within a Commit's time; one that is frozen or cut off would keep them for long.
	formerGrace = 2 * time.Second
)

// DialerConfig is what NewDialer needs. CA, Certificate and Log are required.
type DialerConfig struct {
	CA          *CA
	Certificate tls.Certificate // of this node, from CA.Issue
	Log         hclog.Logger

	Epoch  func() uint64              // of the term record seen last, told with each echo; nil: not told
	Listed func(Target, []*pb.Listed) // takes the members that an active node tells of; must not block; nil: dropped

	MaxRequestBytes int           // largest body that is forwarded; 0 = DefaultMaxRequestBytes
	EchoInterval    time.Duration // 0 = DefaultEchoInterval
	IdleTimeout     time.Duration // a connection without calls is closed after it; 0 = 1 min
}

// Dialer is how a node talks to the active one. It keeps a single connection, to the
// target asked for last; the one before is closed when its last call ends, or after two
// seconds, so that an orderly change of the active node cuts no request short. Safe for
// concurrent use.
type Dialer struct {
	cfg DialerConfig

	mu      sync.Mutex       // guards what follows
	links   map[Target]*link // the current target's, and older ones that are in use
	current Target
	closed  bool
}

// link is the connection to one target.
type link struct {
	target Target
	conn   *grpc.ClientConn
	client pb.ClusterClient
	users  int // calls in flight; guarded by Dialer.mu
}

// NewDialer returns a Dialer without a connection. Close it after use.
func NewDialer(cfg DialerConfig) (*Dialer, error) {
	if cfg.CA == nil || len(cfg.Certificate.Certificate) == 0 || cfg.Log == nil {
		return nil, errors.New("cluster dialer config: CA, Certificate and Log are required")
	}
	if cfg.MaxRequestBytes < 0 || cfg.EchoInterval < 0 || cfg.IdleTimeout < 0 {
		return nil, errors.New("cluster dialer config: a limit is negative")
	}
	cfg.MaxRequestBytes = cmp.Or(cfg.MaxRequestBytes, DefaultMaxRequestBytes)
	cfg.EchoInterval = cmp.Or(cfg.EchoInterval, DefaultEchoInterval)
	cfg.IdleTimeout = cmp.Or(cfg.IdleTimeout, defaultIdleTimeout)
	return &Dialer{cfg: cfg, links: make(map[Target]*link)}, nil
}

// Close closes the connections; calls in flight fail, and so do later ones, with ErrClosed.
func (d *Dialer) Close() error {
	d.mu.Lock()
	links := d.links
	d.links, d.closed = nil, true
	d.mu.Unlock()
	var errs []error
	for _, l := range links {
		errs = append(errs, l.conn.Close())
	}
	return errors.Join(errs...)
}

// acquire returns the link to target, which becomes the current one. The caller releases it.
func (d *Dialer) acquire(target Target) (*link, error) {
	d.mu.Lock()
	if d.closed {
		d.mu.Unlock()
		return nil, ErrClosed
	}
	l, ok := d.links[target]
	if !ok {
		var err error
		if l, err = d.dial(target); err != nil { // no I/O: gRPC connects at the first call
			d.mu.Unlock()
			return nil, err
		}
		d.links[target] = l
	}
	l.users++
	var unused []*link
	if d.current != target {
		if former, ok := d.links[d.current]; ok {
			time.AfterFunc(formerGrace, func() { d.dropFormer(former) })
		}
		d.current = target
		unused = d.takeUnused()
	}
	d.mu.Unlock()
	d.closeLinks(unused)
	return l, nil
}

// takeUnused removes the links of former targets without calls from d. d.mu is held.
func (d *Dialer) takeUnused() []*link {
	var unused []*link
	for target, l := range d.links {
		if l.users == 0 && target != d.current {
			delete(d.links, target)
			unused = append(unused, l)
		}
	}
	return unused
}

func (d *Dialer) release(l *link) {
	d.mu.Lock()
	l.users--
	unused := d.takeUnused()
	d.mu.Unlock()
	d.closeLinks(unused)
}

// drop closes a link whose other end is silent. Its calls fail at once: they are of no
// use to anyone waiting, and those that only read can be sent to the next active node.
func (d *Dialer) drop(l *link) {
	d.mu.Lock()
	if d.links[l.target] == l {
		delete(d.links, l.target)
	}
	d.mu.Unlock()
	d.closeLinks([]*link{l})
}

// dropFormer closes l unless its target is the current one again, or it is closed.
func (d *Dialer) dropFormer(l *link) {
	d.mu.Lock()
	if d.links[l.target] != l || d.current == l.target {
		d.mu.Unlock()
		return
	}
	delete(d.links, l.target)
	d.mu.Unlock()
	d.closeLinks([]*link{l})
}

func (d *Dialer) closeLinks(links []*link) {
	for _, l := range links {
		if err := l.conn.Close(); err != nil {
			d.cfg.Log.Debug("closing a cluster connection", "cluster_addr", l.target.Addr, "error", err)
		}
	}
}

func (d *Dialer) dial(target Target) (*link, error) {
	config := ClientTLS(d.cfg.CA, d.cfg.Certificate, target.InstanceID)
	// passthrough: the address is resolved at each attempt, not by gRPC's resolver, which waits
	// 30 s between two look-ups.
	conn, err := grpc.NewClient("passthrough:///"+target.Addr,
		grpc.WithTransportCredentials(credentials.NewTLS(config)),
		grpc.WithAuthority(nodeName), // what gRPC sets as the server name, see ClientTLS
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 20 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 200 * time.Millisecond},
			MinConnectTimeout: connectTimeout,
		}),
		// Timeout is also the kernel's for data that the peer does not acknowledge.
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: clientPingAfter, Timeout: clientPingTimeout, PermitWithoutStream: true}),
		grpc.WithIdleTimeout(d.cfg.IdleTimeout),
		grpc.WithStatsHandler(sendWitness{}),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(MaxResponseBytes)),
		grpc.WithDisableRetry(), // the caller decides what runs twice; see sendWitness for gRPC's transparent retries
		grpc.WithNoProxy(),
		grpc.WithDisableServiceConfig(),
		grpc.WithDisableHealthCheck(),
	)
	if err != nil {
		return nil, fmt.Errorf("dial cluster address %s: %w", target.Addr, err)
	}
	return &link{target: target, conn: conn, client: pb.NewClusterClient(conn)}, nil
}
