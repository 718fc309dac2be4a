package plugin_test

import (
	"context"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/balancer/pickfirst"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/resolver"

	"github.com/holdfast/holdfast/host/plugin"
	"github.com/holdfast/holdfast/sdk/storage"
)

// tellReady holds back what new connections say of themselves: calls go through, but the state
// stays CONNECTING until the channel is closed. Nil: nothing is held back.
var tellReady atomic.Pointer[chan struct{}] //nolint:gochecknoglobals // gRPC's registries are global

//nolint:gochecknoinits // the only time at which gRPC's registries may be written
func init() {
	balancer.Register(lateBalancer{balancer.Get(pickfirst.Name)})
	resolver.Register(lateResolver{resolver.Get("unix")})
}

// lateResolver is that of unix sockets, and has connections use lateBalancer while there is
// something to hold back.
type lateResolver struct{ resolver.Builder }

func (r lateResolver) Build(target resolver.Target, cc resolver.ClientConn, options resolver.BuildOptions) (resolver.Resolver, error) {
	if tellReady.Load() != nil {
		cc = lateResolverConn{cc}
	}
	return r.Builder.Build(target, cc, options)
}

type lateResolverConn struct{ resolver.ClientConn }

func (c lateResolverConn) UpdateState(state resolver.State) error {
	state.ServiceConfig = c.ParseServiceConfig(`{"loadBalancingConfig": [{"late": {}}]}`)
	return c.ClientConn.UpdateState(state)
}

// lateBalancer is pick_first with tellReady.
type lateBalancer struct{ balancer.Builder }

func (lateBalancer) Name() string { return "late" }

func (b lateBalancer) Build(cc balancer.ClientConn, options balancer.BuildOptions) balancer.Balancer {
	return b.Builder.Build(lateBalancerConn{cc}, options)
}

type lateBalancerConn struct{ balancer.ClientConn }

func (c lateBalancerConn) UpdateState(state balancer.State) {
	tell := tellReady.Load()
	if tell == nil || state.ConnectivityState != connectivity.Ready {
		c.ClientConn.UpdateState(state)
		return
	}
	c.ClientConn.UpdateState(balancer.State{ConnectivityState: connectivity.Connecting, Picker: state.Picker})
	go func() {
		<-*tell
		c.ClientConn.UpdateState(state)
	}()
}

// A connection that works before it says so is waited for: the plugin is not taken for lost, and
// no call waits for a replacement that does not come.
func TestConnectionSaysLateThatItIsReady(t *testing.T) {
	tell := make(chan struct{})
	tellReady.Store(&tell)
	defer tellReady.Store(nil)
	configured := make(chan struct{}, 2)
	p := servedPlugin{name: "good", ha: true, limits: limits, open: func(context.Context) error {
		configured <- struct{}{}
		return nil
	}}
	path := filepath.Join(sockets(t), "attached")
	stop := serveAt(t, path, p)
	defer stop()

	var s *plugin.Storage
	var err error
	opened := make(chan struct{})
	ctx, logger := within(t, patience), newLog(t)
	go func() {
		defer close(opened)
		s, err = plugin.Open(ctx, plugin.Spec{Type: "good", Attach: "unix://" + path}, logger)
	}()
	select {
	case <-configured:
	case <-opened:
	}
	select {
	case <-opened:
		t.Error("Open returned before the connection said that it is ready")
	case <-time.After(100 * time.Millisecond):
	}
	close(tell)
	if <-opened; err != nil {
		t.Fatal(err)
	}
	if err := s.Write(within(t, patience), []storage.Op{storage.Put("a", nil)}); err != nil {
		t.Error(err)
	}
	if got := s.Info().Restarts; got != 0 {
		t.Errorf("the plugin was replaced %d times, want 0", got)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
