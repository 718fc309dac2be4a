package sdk

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"os/signal"
	"strconv"
	"sync"
	"syscall"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"

	"github.com/holdfast/holdfast/sdk/internal/orphan"
	"github.com/holdfast/holdfast/sdk/wire"
)

// serveHost serves the host that started this process, until the host ends it or is
// dead, and closes what is open.
func serveHost(ctx context.Context, impl wire.Implementation, proc process, logger hclog.Logger) error {
	// A signal to the host's process group reaches the plugin too, and the host needs
	// its store until it has handed over: when to stop is for the host to say.
	signal.Ignore(os.Interrupt, syscall.SIGTERM)
	log.SetFlags(0)
	log.SetOutput(logger.StandardWriter(&hclog.StandardLoggerOptions{InferLevels: true}))

	l := &launched{impl: impl, logger: logger, servers: make(chan *grpc.Server, 1)}
	ctx, cancel := context.WithCancel(ctx)
	var watchdog sync.WaitGroup
	err := watchHost(ctx, &watchdog, proc, logger, func() {
		select {
		case s := <-l.servers:
			s.Stop()
		case <-ctx.Done(): // it never came to serve
		}
	})
	if err == nil {
		plugin.Serve(l.config())
	}
	cancel()
	watchdog.Wait()
	switch {
	case err != nil:
		return err
	case l.backends == nil:
		return errors.New("could not serve: the log above says why")
	}
	if err := closeWithin(l.backends, closeTimeout); err != nil {
		logger.Error("backends are not closed in order", "error", err) // the host has no one left to tell
	}
	return nil
}

// watchHost calls hostDead, in a goroutine of group that ends with ctx, when the host
// dies whose pidfd the process inherited. A host that attaches passes none: it may come
// and go, and whoever started the plugin ends it.
func watchHost(ctx context.Context, group *sync.WaitGroup, proc process, logger hclog.Logger, hostDead func()) error {
	text := proc.getenv(wire.HostPIDFDKey)
	if text == "" {
		return nil
	}
	pidfd, err := strconv.Atoi(text)
	if err != nil || pidfd < 0 {
		return fmt.Errorf("%s is %q, want the number of a file descriptor", wire.HostPIDFDKey, text)
	}
	group.Go(func() {
		switch err := orphan.Wait(ctx, pidfd); {
		case err == nil:
			logger.Warn("host is dead, stopping")
			hostDead()
		case ctx.Err() == nil:
			logger.Error("can not watch the host; this process may outlive it", "error", err)
		}
	})
	return nil
}

// launched is the plugin as go-plugin sees it.
type launched struct {
	plugin.NetRPCUnsupportedPlugin

	impl     wire.Implementation
	logger   hclog.Logger
	servers  chan *grpc.Server // gets the one server
	backends *wire.Server      // set when it serves
}

func (l *launched) config() *plugin.ServeConfig {
	return &plugin.ServeConfig{
		HandshakeConfig: plugin.HandshakeConfig{
			ProtocolVersion:  wire.ProtocolVersion,
			MagicCookieKey:   wire.CookieKey,
			MagicCookieValue: wire.CookieValue,
		},
		Plugins: plugin.PluginSet{wire.SetName: l},
		GRPCServer: func(options []grpc.ServerOption) *grpc.Server {
			options = append(options, wire.ServerOptions()...)
			s := grpc.NewServer(append(options, wire.RecoverPanics(l.logger))...)
			l.servers <- s
			return s
		},
		Logger: l.logger,
	}
}

// GRPCServer implements plugin.GRPCPlugin.
func (l *launched) GRPCServer(_ *plugin.GRPCBroker, s *grpc.Server) error {
	l.backends = wire.Register(s, l.impl)
	return nil
}

// GRPCClient implements plugin.GRPCPlugin. Hosts use wire.NewClient on the connection.
func (l *launched) GRPCClient(context.Context, *plugin.GRPCBroker, *grpc.ClientConn) (any, error) {
	return nil, errors.New("a plugin does not dispense clients")
}
