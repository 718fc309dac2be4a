package cluster

import (
	"context"
	"fmt"
	"sync/atomic"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	pb "github.com/holdfast/holdfast/host/cluster/proto/holdfast/cluster/v1alpha"
)

// Forward has the node at target run req, and returns its answer; a refusal is an
// answer. It makes one attempt, and waits as long as ctx allows for the answer but at
// most about a second for the connection.
//
// sent is false only if target has provably not begun to run req: nothing of it has
// left this process, or target said that it took no notice. Such a request may be sent
// again, there or elsewhere. With sent and an error the outcome is unknown, unless the
// error is ErrRequestTooLarge. The error wraps ctx's own if that ended the call.
func (d *Dialer) Forward(ctx context.Context, target Target, req *pb.ForwardRequest) (resp *pb.ForwardResponse, sent bool, err error) {
	if size, limit := proto.Size(req), d.cfg.MaxRequestBytes+requestSlack; len(req.GetBody()) > d.cfg.MaxRequestBytes || size > limit {
		return nil, false, fmt.Errorf("%w: a body of %d bytes in a message of %d, the limits are %d and %d",
			ErrRequestTooLarge, len(req.GetBody()), size, d.cfg.MaxRequestBytes, limit)
	}
	l, err := d.acquire(target)
	if err != nil {
		return nil, false, err
	}
	defer d.release(l)

	var w witness
	resp, err = l.client.Forward(context.WithValue(ctx, witnessKey{}, &w), req)
	if err != nil {
		return nil, w.sent.Load(), forwardError(ctx, target, &w, err)
	}
	return resp, true, nil
}

func forwardError(ctx context.Context, target Target, w *witness, err error) error {
	switch code := status.Code(err); {
	case code == codes.ResourceExhausted && w.ended.Load() && !w.answered.Load():
		// The peer's gRPC said so instead of calling its Handler.
		err = fmt.Errorf("%w: %s", ErrRequestTooLarge, status.Convert(err).Message())
	case code == codes.OutOfRange || code == codes.ResourceExhausted && w.answered.Load():
		err = fmt.Errorf("%w: %s", ErrResponseTooLarge, status.Convert(err).Message())
	case ctx.Err() != nil:
		err = ctx.Err()
	}
	return fmt.Errorf("forward to %s: %w", target.Addr, err)
}

// witness is what was seen of one call on its way.
type witness struct {
	sent     atomic.Bool // a part of it may have left the process, and the peer may have taken it
	answered atomic.Bool // the peer began to answer
	ended    atomic.Bool // the peer ended the call with a status
}

type witnessKey struct{}

// sendWitness is the stats handler that fills the witness in a call's context.
//
// A call leaves the process with its headers, so OutHeader is the first moment at which
// the peer may see anything; it is reported before Invoke can return. (OutPayload would
// be too late: a message that was written in part has none.) With retries disabled gRPC still
// makes a second attempt by itself in one case: the peer has refused the stream unprocessed,
// which a node that is stopping does. The first attempt then counts for nothing.
type sendWitness struct{}

func (sendWitness) HandleRPC(ctx context.Context, event stats.RPCStats) {
	w, ok := ctx.Value(witnessKey{}).(*witness)
	if !ok {
		return
	}
	switch event := event.(type) {
	case *stats.Begin:
		if event.IsTransparentRetryAttempt {
			w.sent.Store(false)
		}
	case *stats.OutHeader:
		w.sent.Store(true)
	case *stats.InHeader:
		w.answered.Store(true)
	case *stats.InTrailer:
		w.ended.Store(true)
	}
}

func (sendWitness) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context   { return ctx }
func (sendWitness) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }
func (sendWitness) HandleConn(context.Context, stats.ConnStats)                       {}
