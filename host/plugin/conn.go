package plugin

import (
	"context"
	"slices"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	grpcpeer "google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	pb "github.com/holdfast/holdfast/sdk/proto/holdfast/storage/v1"
)

// lossWait is how long the state of a connection may lag behind the calls that failed
// because it is lost: goroutines of gRPC have to run for it, on a machine that may be busy. A
// plugin that says UNAVAILABLE without our details, and stays, is as much slower.
const lossWait = 250 * time.Millisecond

// conn is a connection to a plugin whose failed calls tell more: one that was never
// sent says so, and one that failed because the connection was lost returns when that shows
// in the connection's state.
type conn struct{ *grpc.ClientConn }

// Invoke implements grpc.ClientConnInterface.
func (c conn) Invoke(ctx context.Context, method string, args, reply any, opts ...grpc.CallOption) error {
	var sentTo grpcpeer.Peer // set once a stream to the plugin exists
	err := c.ClientConn.Invoke(ctx, method, args, reply, append(slices.Clip(opts), grpc.Peer(&sentTo))...)
	if err == nil {
		return nil
	}
	failed := status.Convert(err)
	if len(failed.Details()) > 0 {
		return err // the plugin has answered
	}
	if failed.Code() == codes.Unavailable {
		c.awaitLoss(ctx)
	}
	if sentTo.Addr != nil {
		return err
	}
	unsent, detailErr := failed.WithDetails(&pb.Error{
		Code:    pb.ErrorCode_ERROR_CODE_UNAVAILABLE,
		Outcome: pb.Outcome_OUTCOME_NOT_APPLIED,
	})
	if detailErr != nil { // can not be encoded: err claims less
		return err
	}
	return unsent.Err()
}

func (c conn) awaitLoss(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, lossWait)
	defer cancel()
	c.WaitForStateChange(ctx, connectivity.Ready)
}
