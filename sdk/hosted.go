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
// dead, and closes what is open. When the host is dead its last will is committed first.
func serveHost(ctx context.Context, impl wire.Implementation, proc process, logger hclog.Logger) error {
	// A signal to the host's process group reaches the plugin too, and the host needs
	// its store until it has handed over: when to stop is for the host to say. Two come when the
	// host is dead, before its last will is committed: SIGPIPE, for nobody reads our log any
	// more, and SIGHUP, with which the kernel makes a stopped process go on that lost its parent.
	signal.Ignore(os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGPIPE)
	log.SetFlags(0)
	log.SetOutput(logger.StandardWriter(&hclog.StandardLoggerOptions{InferLevels: true}))

	l := &launched{impl: impl, logger: logger, serves: make(chan serving, 1)}
	ctx, cancel := context.WithCancel(ctx)
	var watchdog sync.WaitGroup
	watches, err := watchHost(ctx, &watchdog, proc, logger, func() {
		select {
		case s := <-l.serves:
			commitWills(ctx, s.backends, logger)
			s.grpc.Stop()
		case <-ctx.Done(): // it never came to serve
		}
	})
	l.impl.WatchesHost = watches
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

// commitWills releases the record in the place of the host, which is dead.
func commitWills(ctx context.Context, backends *wire.Server, logger hclog.Logger) {
	committed, err := backends.CommitWills(ctx)
	if committed > 0 {
		logger.Info("committed the last will of the host", "backends", committed)
	}
	if err != nil {
		logger.Warn("last will not committed; another node takes over when the lease is out", "error", err)
	}
}

// watchHost calls hostDead, in a goroutine of group that ends with ctx, when the host
// dies whose pidfd the process inherited, and reports whether it will. A host that attaches
// passes none: it may come and go, and whoever started the plugin ends it.
func watchHost(
	ctx context.Context, group *sync.WaitGroup, proc process, logger hclog.Logger, hostDead func(),
) (watches bool, err error) {
	text := proc.getenv(wire.HostPIDFDKey)
	if text == "" {
		return false, nil
	}
	pidfd, err := strconv.Atoi(text)
	if err != nil || pidfd < 0 {
		return false, fmt.Errorf("%s is %q, want the number of a file descriptor", wire.HostPIDFDKey, text)
	}
	if err := orphan.Check(pidfd); err != nil {
		logger.Error("can not watch the host; this process may outlive it", "error", err)
		return false, nil
	}
	group.Go(func() {
		switch err := orphan.Wait(ctx, pidfd); {
		case err == nil:
			logger.Warn("host is dead, stopping")
			hostDead()
		case ctx.Err() == nil:
			logger.Error("can not watch the host any more; this process may outlive it", "error", err)
		}
	})
	return true, nil
}

// launched is the plugin as go-plugin sees it.
type launched struct {
	plugin.NetRPCUnsupportedPlugin

	impl     wire.Implementation
	logger   hclog.Logger
	serves   chan serving // gets what is served, once
	backends *wire.Server // set when it serves
}

// serving is the one gRPC server of a process and the backends behind it.
type serving struct {
	grpc     *grpc.Server
	backends *wire.Server
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
			return grpc.NewServer(append(options, wire.RecoverPanics(l.logger))...)
		},
		Logger: l.logger,
	}
}

// GRPCServer implements plugin.GRPCPlugin.
func (l *launched) GRPCServer(_ *plugin.GRPCBroker, s *grpc.Server) error {
	l.backends = wire.Register(s, l.impl)
	l.serves <- serving{grpc: s, backends: l.backends}
	return nil
}

// GRPCClient implements plugin.GRPCPlugin. Hosts use wire.NewClient on the connection.
func (l *launched) GRPCClient(context.Context, *plugin.GRPCBroker, *grpc.ClientConn) (any, error) {
	return nil, errors.New("a plugin does not dispense clients")
}
