package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/holdfast/holdfast/cmd/holdfast/internal/pluginspec"
	"github.com/holdfast/holdfast/host/advertise"
	"github.com/holdfast/holdfast/host/api"
	"github.com/holdfast/holdfast/host/config"
	"github.com/holdfast/holdfast/host/ha"
	"github.com/holdfast/holdfast/host/node"
	"github.com/holdfast/holdfast/host/plugin"
)

// stopTime bounds an orderly stop: handing over, and letting requests finish.
const stopTime = 10 * time.Second

// server is one running "holdfast server".
type server struct {
	env     Env
	options *options
	cfg     *config.Config
	logger  hclog.Logger

	storage   *plugin.Storage
	addresses addresses
	node      *node.Node
	listeners []*listener
}

// addresses are where others reach this node.
type addresses struct {
	api, cluster advertise.Address
	clusterBind  string
}

func newLogger(cfg config.Log, out io.Writer) hclog.Logger {
	return hclog.New(&hclog.LoggerOptions{
		Name: "holdfast", Level: hclog.LevelFromString(cfg.Level), Output: out, JSONFormat: cfg.Format == "json",
	})
}

// run serves until ctx ends.
func (s *server) run(ctx context.Context) (err error) {
	if err := noCoreFiles(); err != nil {
		s.logger.Warn("a crash may write secrets to a core file", "error", err)
	}
	s.storage, err = plugin.Open(ctx, pluginspec.Of(s.cfg, s.cfg.Storage.Type), s.logger)
	if err != nil {
		return err // names the storage
	}
	defer func() { err = errors.Join(err, s.storage.Close()) }()
	if s.addresses, err = findAddresses(s.cfg, s.highlyAvailable()); err != nil {
		return err
	}
	hostname, err := os.Hostname()
	if err != nil {
		hostname = "unknown"
	}
	if s.listeners, err = listen(ctx, s.cfg.Listeners); err != nil {
		return err
	}
	defer func() { closeAll(s.listeners) }()
	s.node, err = node.Open(ctx, node.Config{
		Storage: s.storage, Plugin: s.storage, StorageType: s.cfg.Storage.Type, Version: s.env.Version, Hostname: hostname,
		ClusterName: s.cfg.ClusterName, APIAddress: s.addresses.api.URL, ClusterAddress: s.addresses.cluster.URL,
		ClusterBind: s.addresses.clusterBind, Timing: ha.Timing{Lease: s.cfg.HA.Lease, Beat: s.cfg.HA.Beat},
		Hold: s.cfg.HA.Hold, Strict: s.cfg.HA.ReadMode == config.ReadStrict, MaxRequestSize: s.maxRequestSize(),
		RootToken: s.options.devToken, Logger: s.logger,
	})
	if err != nil {
		return err
	}
	return s.serve(ctx)
}

func (s *server) highlyAvailable() bool {
	return s.storage.HA() && !s.storage.Capabilities().HADisabled
}

func (s *server) maxRequestSize() int64 {
	var size int64
	for _, l := range s.cfg.Listeners {
		size = max(size, l.Limits.MaxRequestSize)
	}
	return size
}

// serve answers requests until ctx ends or the node can not go on; then it hands over,
// while requests that arrive meanwhile are still answered, and stops.
func (s *server) serve(ctx context.Context) error {
	failed := make(chan error, len(s.listeners))
	var serving sync.WaitGroup
	for _, l := range s.listeners {
		l.server = s.httpServer(l)
		serving.Go(func() {
			if err := l.server.Serve(l.Listener); !errors.Is(err, http.ErrServerClosed) {
				failed <- fmt.Errorf("listener %s: %w", l.cfg.Address, err)
			}
		})
	}
	s.banner()
	err := s.startDev(ctx)
	if err == nil {
		err = s.wait(ctx, failed)
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTime)
	defer cancel()
	s.node.HandOver(stop, "the node is stopping")
	for _, l := range s.listeners {
		if shutErr := l.server.Shutdown(stop); shutErr != nil {
			s.logger.Warn("requests were cut off", "listener", l.cfg.Address, "error", shutErr)
		}
	}
	serving.Wait()
	s.node.Close(stop)
	s.logger.Info("stopped")
	return err
}

// wait returns nil when ctx ends, or what made the server fail. A server whose storage plugin
// is broken ends: it can neither do anything itself nor learn which node to forward to.
func (s *server) wait(ctx context.Context, failed <-chan error) error {
	reload := make(chan os.Signal, 1)
	signal.Notify(reload, syscall.SIGHUP)
	defer signal.Stop(reload)
	parent := s.parentGone(ctx)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-parent:
			return nil
		case err := <-failed:
			return err
		case err := <-s.node.Fatal():
			return err
		case err := <-s.storage.Broken():
			return fmt.Errorf("storage %q: %w; put the right program in its place, then start and unseal this server",
				s.cfg.Storage.Type, err)
		case <-reload:
			s.reload()
		}
	}
}

// reload reads the log level and the certificates again. What is wrong is logged, and
// the old ones stay.
func (s *server) reload() {
	if !s.options.dev {
		cfg, _, err := s.options.load(s.env.Getenv)
		if err != nil {
			s.logger.Error("reload the configuration; nothing was changed", "error", err)
			return
		}
		s.logger.SetLevel(hclog.LevelFromString(cfg.Log.Level))
	}
	for _, l := range s.listeners {
		if err := l.reload(); err != nil {
			s.logger.Error("reload a certificate; the old one stays", "listener", l.cfg.Address, "error", err)
		}
	}
	s.logger.Info("reloaded log level and certificates")
}

func (s *server) httpServer(l *listener) *http.Server {
	limits := l.cfg.Limits
	return &http.Server{
		Handler: api.New(api.Config{
			Node: s.node, Logger: s.logger.Named("http"),
			MaxRequestSize: limits.MaxRequestSize, MaxRequestDuration: limits.MaxRequestDuration,
		}),
		ReadTimeout: limits.ReadTimeout, ReadHeaderTimeout: limits.ReadHeaderTimeout,
		WriteTimeout: limits.WriteTimeout, IdleTimeout: limits.IdleTimeout,
		MaxHeaderBytes: 64 << 10,
		ErrorLog:       s.logger.Named("http").StandardLogger(&hclog.StandardLoggerOptions{ForceLevel: hclog.Debug}),
	}
}

// banner says on standard output what serves. Programs read it, a line each.
func (s *server) banner() {
	availability := "HA unavailable"
	switch {
	case s.highlyAvailable():
		availability = "HA available"
	case s.storage.HA():
		availability = "HA disabled"
	}
	out := s.env.Stdout
	fmt.Fprintln(out, "==> Holdfast server configuration:")
	fmt.Fprintln(out)
	line := func(name, value string) { fmt.Fprintf(out, "%s: %s\n", name, value) }
	line("Api Address", orNone(s.addresses.api.URL))
	if s.addresses.cluster.URL != "" {
		line("Cluster Address", s.addresses.cluster.URL)
	}
	for i, l := range s.listeners {
		line(fmt.Sprintf("Listener %d", i+1), fmt.Sprintf("tcp (addr: %q, tls: %q)", l.Addr(), l.tlsState()))
	}
	lastWill := "no"
	if s.storage.Info().LastWill {
		lastWill = "yes"
	}
	line("Last Will", lastWill)
	line("Log Level", s.cfg.Log.Level)
	line("Plugin Directory", orNone(s.cfg.PluginDirectory))
	info := s.storage.Info()
	line("Storage", fmt.Sprintf("%s (%s)", s.cfg.Storage.Type, availability))
	line("Storage Plugin", fmt.Sprintf("%s %s", info.Path, info.Version))
	line("Version", s.env.Version)
	fmt.Fprintln(out)
	fmt.Fprintln(out, "==> Holdfast server started. Log data follows on standard error.")
	s.logger.Info("advertise address", "api", s.addresses.api.URL, "from", s.addresses.api.Origin,
		"cluster", s.addresses.cluster.URL)
}

func orNone(text string) string {
	if text == "" {
		return "none"
	}
	return text
}
