package cluster

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"runtime/debug"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"golang.org/x/net/netutil"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	pb "github.com/holdfast/holdfast/host/cluster/proto/holdfast/cluster/v1alpha"
	"github.com/holdfast/holdfast/host/internal/panics"
	"github.com/holdfast/holdfast/host/version"
)

const (
	maxStreamsPerConnection = 1024
	defaultMaxConnections   = 256
	defaultGrace            = 2 * time.Second
	handshakeTimeout        = 2 * time.Second // also bounds what a silent client can delay a stop by

	// A peer whose kernel is gone is noticed by the server's pings: after 2 s of silence one
	// goes out, and 2 s later the connection is closed.
	serverPingAfter   = 2 * time.Second
	serverPingTimeout = 2 * time.Second
	clientPingAfter   = 10 * time.Second // the shortest that gRPC allows; echoes notice sooner
	clientPingTimeout = 2 * time.Second
)

// Handler runs what other nodes forward. It is safe for concurrent use.
type Handler interface {
	// Forward runs the request if this node is active in the epoch that req means, and
	// refuses otherwise. It never returns nil and never forwards on. ctx ends when the
	// sender gives up, its connection breaks or the server stops for good;
	// RemoteInstance tells who the sender is. req is the Handler's to keep.
	Forward(ctx context.Context, req *pb.ForwardRequest) *pb.ForwardResponse
}

// ServerConfig is what Serve needs. TLS, Handler, Members and Log are required.
type ServerConfig struct {
	TLS     *tls.Config // from ServerTLS
	Handler Handler
	Members *Members // filled with the standbys that attach
	Log     hclog.Logger
	Speaks  version.Set // of this node; zero = version.Spoken()

	// Compare takes how far another node knows the term record to have come, and returns how
	// far this one does. Nil: this node does not tell.
	Compare func(context.Context, *pb.Sighting) *pb.Sighting
	// List returns all members, this node among them, for the standbys. It must not block.
	// Nil: they are not told.
	List func() []*pb.Listed

	MaxRequestBytes int           // largest body of a forwarded request; 0 = DefaultMaxRequestBytes
	MaxConnections  int           // 0 = 256; more wait in the kernel's queue
	EchoInterval    time.Duration // a standby is dropped after three of them in silence; 0 = DefaultEchoInterval
	Grace           time.Duration // how long running requests may take to end after ctx did; 0 = 2 s
}

func (c ServerConfig) withDefaults() (ServerConfig, error) {
	if c.TLS == nil || c.Handler == nil || c.Members == nil || c.Log == nil {
		return c, errors.New("cluster server config: TLS, Handler, Members and Log are required")
	}
	if c.MaxRequestBytes < 0 || c.MaxConnections < 0 || c.EchoInterval < 0 || c.Grace < 0 {
		return c, errors.New("cluster server config: a limit is negative")
	}
	c.Speaks = cmp.Or(c.Speaks, version.Spoken())
	c.MaxRequestBytes = cmp.Or(c.MaxRequestBytes, DefaultMaxRequestBytes)
	c.MaxConnections = cmp.Or(c.MaxConnections, defaultMaxConnections)
	c.EchoInterval = cmp.Or(c.EchoInterval, DefaultEchoInterval)
	c.Grace = cmp.Or(c.Grace, defaultGrace)
	return c, nil
}

// Listen opens the cluster listener on a host:port.
func Listen(ctx context.Context, addr string) (net.Listener, error) {
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("listen on cluster address: %w", err)
	}
	return ln, nil
}

// Serve serves the Cluster service on ln, which it closes, until ctx ends; it returns nil
// then. It stops by degrees: no new connections or requests are taken and attached
// standbys are sent away; running requests get cfg.Grace to end; then their contexts
// end. When Serve returns, no Handler is running.
func Serve(ctx context.Context, ln net.Listener, cfg ServerConfig) error {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return errors.Join(err, ln.Close())
	}
	svc := &service{cfg: cfg, done: ctx.Done()}
	server := grpc.NewServer(serverOptions(cfg)...)
	pb.RegisterClusterServer(server, svc)

	served := make(chan error, 1)
	go func() { served <- server.Serve(netutil.LimitListener(ln, cfg.MaxConnections)) }()
	select {
	case err = <-served:
		err = fmt.Errorf("serve cluster address %s: %w", ln.Addr(), err)
		server.Stop()
	case <-ctx.Done():
		stopWithin(server, cfg.Grace)
		if ended := <-served; ended != nil {
			cfg.Log.Debug("the cluster address was closed before it was to stop", "error", ended)
		}
	}
	svc.readers.Wait()
	return err
}

func serverOptions(cfg ServerConfig) []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.Creds(loggedHandshakes{TransportCredentials: credentials.NewTLS(cfg.TLS), log: cfg.Log}),
		grpc.MaxRecvMsgSize(cfg.MaxRequestBytes + requestSlack),
		grpc.MaxSendMsgSize(MaxResponseBytes),
		grpc.MaxConcurrentStreams(maxStreamsPerConnection),
		grpc.ConnectionTimeout(handshakeTimeout),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: serverPingAfter, Timeout: serverPingTimeout}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: clientPingAfter / 2, PermitWithoutStream: true}),
		grpc.WaitForHandlers(true),
	}
}

// stopWithin lets running requests end for at most grace, then ends them.
func stopWithin(server *grpc.Server, grace time.Duration) {
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		server.GracefulStop()
	}()
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-drained:
	case <-timer.C:
		server.Stop()
		<-drained
	}
}

// service is the Cluster service of one Serve.
type service struct {
	pb.UnimplementedClusterServer

	cfg     ServerConfig
	done    <-chan struct{} // of Serve's context: gRPC's own contexts end only after the grace
	readers sync.WaitGroup  // of Attach streams; a stream's reader ends after its handler has
}

// Forward hands the request to the Handler.
func (s *service) Forward(ctx context.Context, req *pb.ForwardRequest) (resp *pb.ForwardResponse, err error) {
	// One bad request must not end the active node, just as one that came in over HTTP does not.
	defer func() {
		if r := recover(); r != nil {
			s.cfg.Log.Error("panic in a forwarded request", "panic", panics.Describe(r), "stack", string(debug.Stack()))
			resp, err = nil, status.Error(codes.Internal, "panic in a forwarded request: see the log of the active node")
		}
	}()
	resp = s.cfg.Handler.Forward(ctx, req)
	if size := proto.Size(resp); size > MaxResponseBytes {
		return nil, status.Errorf(codes.OutOfRange, "the answer has %d bytes, the limit is %d", size, MaxResponseBytes)
	}
	return resp, nil
}
