package wire

import (
	"context"
	"runtime/debug"

	"github.com/hashicorp/go-hclog"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// RecoverPanics turns a panic in one call into an error of that call: its outcome is
// unknown, and the other calls go on. The stack goes to logger, not to the host.
func RecoverPanics(logger hclog.Logger) grpc.ServerOption {
	return grpc.ChainUnaryInterceptor(func(
		ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler,
	) (resp any, err error) {
		defer func() {
			if cause := recover(); cause != nil {
				logger.Error("panic in a call", "method", info.FullMethod, "panic", cause, "stack", string(debug.Stack()))
				resp, err = nil, status.Error(codes.Internal, "panic in the plugin; its log has the stack")
			}
		}()
		return handler(ctx, req)
	})
}
