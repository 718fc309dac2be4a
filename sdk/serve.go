package sdk

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"
	"google.golang.org/grpc"

	"github.com/holdfast/holdfast/sdk/storage"
	"github.com/holdfast/holdfast/sdk/wire"
)

// closeTimeout bounds the closing of all backends at the end of the process. A host
// gives a plugin two seconds before it kills it.
const closeTimeout = time.Second

// Serve serves p on listener until ctx ends, then closes what is open. It is for
// tests of a plugin through the wire; a plugin's main calls [Main].
func Serve[C any, B storage.Backend](ctx context.Context, listener net.Listener, p Plugin[C, B], logger hclog.Logger) error {
	impl, err := p.implementation(logger)
	if err != nil {
		return err
	}
	return serve(ctx, listener, impl, logger)
}

func serve(ctx context.Context, listener net.Listener, impl wire.Implementation, logger hclog.Logger) error {
	s := grpc.NewServer(append(wire.ServerOptions(), wire.RecoverPanics(logger))...)
	backends := wire.Register(s, impl)
	stop := context.AfterFunc(ctx, s.Stop)
	err := s.Serve(listener)
	if stop() { // ctx is not why it ended
		return errors.Join(fmt.Errorf("serve: %w", err), closeWithin(backends, closeTimeout))
	}
	return closeWithin(backends, closeTimeout)
}

// closeWithin closes the backends, but waits no longer than timeout for an author's
// Close: the process ends either way, and with it the goroutine left behind.
func closeWithin(backends *wire.Server, timeout time.Duration) error {
	done := make(chan error, 1)
	go func() { done <- backends.Close() }()
	select {
	case err := <-done:
		if err != nil {
			return fmt.Errorf("close backends: %w", err)
		}
		return nil
	case <-time.After(timeout):
		return fmt.Errorf("close backends: not done after %v, gave up", timeout)
	}
}

// runServe is the command serve: it serves without a host, until SIGINT or SIGTERM, or
// until the process behind the pidfd it inherited is dead.
func runServe(ctx context.Context, impl wire.Implementation, proc process, args []string, logger hclog.Logger) (err error) {
	flags, err := parseServeFlags(args, proc.stderr)
	if err != nil {
		return err
	}
	path := flags.socket
	if path == "" {
		dir, err := os.MkdirTemp("", "holdfast-plugin-") // mode 0700
		if err != nil {
			return fmt.Errorf("make socket directory: %w", err)
		}
		defer func() { _ = os.RemoveAll(dir) }()
		path = filepath.Join(dir, impl.Description.Name+".sock")
	}
	listener, path, err := listenPrivate(path)
	if err != nil {
		return err
	}
	defer func() { _ = listener.Close() }()

	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	var watchdog sync.WaitGroup
	defer watchdog.Wait()
	defer stop()
	// Whoever holds the pidfd is not a host: those that attach leave no wills.
	if _, err := watchHost(ctx, &watchdog, proc, logger, stop); err != nil {
		return err
	}
	if _, err := fmt.Fprintf(proc.stdout, "attach = %q\n", "unix://"+path); err != nil {
		return fmt.Errorf("print the attach line: %w", err)
	}
	return serve(ctx, listener, impl, logger)
}

// listenPrivate listens on a unix socket at path, in a directory that nobody else may
// enter, and returns the absolute path. A missing directory is made.
func listenPrivate(path string) (net.Listener, string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, "", fmt.Errorf("socket path: %w", err)
	}
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, "", fmt.Errorf("make socket directory: %w", err)
	}
	info, err := os.Stat(dir)
	if err != nil {
		return nil, "", fmt.Errorf("socket directory: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, "", fmt.Errorf("socket directory %s is open to other users (%v): chmod 700 it, or choose another", dir, info.Mode().Perm())
	}
	listener, err := net.Listen("unix", path)
	if err != nil {
		return nil, "", fmt.Errorf("listen (a socket that was left behind must be removed; paths have about 100 bytes): %w", err)
	}
	return listener, path, nil
}
