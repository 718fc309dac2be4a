package wire

import (
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/keepalive"
)

const (
	// MaxMessageBytes is the largest message either end accepts, answers to List
	// excepted. See [MaxLimits] for what fits into it.
	MaxMessageBytes = 8 << 20
	// MaxListBytes is the largest answer to List: some 60,000 names of full length.
	MaxListBytes = 64 << 20
)

// keepaliveInterval is gRPC's least. A plugin that is frozen or cut off is noticed
// after one interval and one timeout, even if no call is in flight.
const (
	keepaliveInterval = 10 * time.Second
	keepaliveTimeout  = 5 * time.Second
)

// DialOptions are what a host dials a plugin with: limits, keepalive and quick
// reconnects. Transport credentials are the caller's to add.
func DialOptions() []grpc.DialOption {
	return []grpc.DialOption{
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(MaxMessageBytes)),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{
			Time:                keepaliveInterval,
			Timeout:             keepaliveTimeout,
			PermitWithoutStream: true,
		}),
		// A host that is attached to a plugin finds it again soon after it came back.
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 20 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: time.Second},
			MinConnectTimeout: time.Second,
		}),
		grpc.WithIdleTimeout(0),
	}
}

// ServerOptions are what a plugin serves with: limits and tolerance for the host's
// keepalive pings. See also [RecoverPanics].
func ServerOptions() []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.MaxRecvMsgSize(MaxMessageBytes),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{
			MinTime:             time.Second,
			PermitWithoutStream: true,
		}),
	}
}
