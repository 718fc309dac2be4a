package etcd

import (
	"context"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/stats"
)

// How dead connections are noticed. gRPC pings a silent one no more often than every
// 10 s, whatever it is told; what notices a cut network sooner is the timeout, which it
// also sets for data that the other side's kernel does not acknowledge. A member that
// stands still acknowledges: its requests end with their share of the time (members.do).
const (
	keepAliveTime    = 10 * time.Second
	keepAliveTimeout = time.Second
)

// A member that comes back is used again soon after.
const (
	connectTimeout = 3 * time.Second
	minBackoff     = 50 * time.Millisecond
	maxBackoff     = time.Second
)

// dialOptions are the options of every connection. The client's own defaults are not fit
// for a Commit, which is sent at most once and says whether it was:
//
//   - it sends a transaction again when the server answers that a deadline has passed or
//     that the request was cancelled, which says nothing about the transaction
//     (MaxUnaryRetries: 1 in members.add ends that, and all other retries);
//   - it waits for a member that is down as long as the context lives (failFast).
//
// gRPC itself sends a request again only if the server has said that it did not look at
// it.
func dialOptions() []grpc.DialOption {
	return []grpc.DialOption{
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: minBackoff, Multiplier: 1.6, Jitter: 0.2, MaxDelay: maxBackoff},
			MinConnectTimeout: connectTimeout,
		}),
		grpc.WithNoProxy(), // configuration alone decides who is asked
		grpc.WithStatsHandler(departures{}),
		grpc.WithChainUnaryInterceptor(failFastUnary),
		grpc.WithChainStreamInterceptor(failFastStream),
	}
}

func failFastUnary(
	ctx context.Context, method string, req, reply any, conn *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption,
) error {
	return invoke(ctx, method, req, reply, conn, append(opts, grpc.WaitForReady(false))...)
}

func failFastStream(
	ctx context.Context, desc *grpc.StreamDesc, conn *grpc.ClientConn, method string, open grpc.Streamer, opts ...grpc.CallOption,
) (grpc.ClientStream, error) {
	return open(ctx, desc, conn, method, append(opts, grpc.WaitForReady(false))...)
}

// passage is how far a request got.
type passage struct {
	left     atomic.Bool // something of it may have reached the member
	complete atomic.Bool // so may all of it
	answered atomic.Bool // a reply began, which is more than an error
}

// passageKey is the key of a context's *passage that departures keeps.
type passageKey struct{}

// departures notes how far requests get: a request has no headers before it has a
// connection.
type departures struct{}

func (departures) HandleRPC(ctx context.Context, s stats.RPCStats) {
	p, ok := ctx.Value(passageKey{}).(*passage)
	if !ok {
		return
	}
	switch s.(type) {
	case *stats.OutHeader:
		p.left.Store(true)
	case *stats.OutPayload:
		p.complete.Store(true)
	case *stats.InHeader:
		p.answered.Store(true)
	}
}

func (departures) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context   { return ctx }
func (departures) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }
func (departures) HandleConn(context.Context, stats.ConnStats)                       {}
