package plugin_test

import (
	"context"
	"errors"
	"net"
	"path/filepath"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/holdfast/holdfast/host/plugin"
	pb "github.com/holdfast/holdfast/sdk/proto/holdfast/storage/v1"
	"github.com/holdfast/holdfast/sdk/storage"
	"github.com/holdfast/holdfast/sdk/wire"
)

// serveAt serves a plugin at a socket until stop is called.
func serveAt(t *testing.T, path string, p servedPlugin, options ...grpc.ServerOption) (stop func()) {
	t.Helper()
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer(append(options, wire.ServerOptions()...)...)
	wire.Register(server, p.implementation())
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	return func() {
		server.Stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	}
}

// A host that is attached to a plugin follows it through a restart, and does not end it.
func TestAttach(t *testing.T) {
	path := filepath.Join(sockets(t), "attached")
	good := servedPlugin{name: "good", ha: true, limits: limits}
	stop := serveAt(t, path, good)
	spec := plugin.Spec{Type: "good", Attach: "unix://" + path, Options: map[string]any{"name": "shared"}}
	s, _ := open(t, spec)
	if err := s.Write(within(t, patience), []storage.Op{storage.Put("a", nil)}); err != nil {
		t.Fatal(err)
	}
	if info := s.Info(); info.Path != spec.Attach || info.PID != 0 || info.LastWill {
		t.Errorf("got %+v", info)
	}

	stop()
	stop = serveAt(t, path, good)
	if got, want := about(t, s, "config"), `{"name":"shared"}`; got != want {
		t.Errorf("plugin was configured with %s, want %s", got, want)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	again, _ := open(t, spec) // it still runs
	if err := again.Close(); err != nil {
		t.Error(err)
	}
	stop()
}

// A plugin that forgot the backend without breaking the connection is configured again, and
// the call that learnt it is made again.
func TestAttachUnconfigured(t *testing.T) {
	path := filepath.Join(sockets(t), "attached")
	ids := make(chan string, 2)
	stop := serveAt(t, path, servedPlugin{name: "good", ha: true, limits: limits}, grpc.UnaryInterceptor(
		func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
			resp, err := handle(ctx, req)
			if configured, ok := resp.(*pb.ConfigureResponse); ok {
				ids <- configured.GetBackendId()
			}
			return resp, err
		}))
	defer stop()
	s, _ := open(t, plugin.Spec{Type: "good", Attach: "unix://" + path})
	closeBackend(t, path, <-ids)
	if err := s.Write(within(t, patience), []storage.Op{storage.Put("a", nil)}); err != nil {
		t.Errorf("write after the plugin forgot its backend: %v", err)
	}
	if got := s.Info().Restarts; got != 1 {
		t.Errorf("got %d restarts, want 1", got)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// closeBackend makes the plugin at path forget a backend behind its host's back.
func closeBackend(t *testing.T, path, id string) {
	t.Helper()
	conn, err := grpc.NewClient("unix://"+path, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	_, err = pb.NewPluginClient(conn).Close(within(t, patience), &pb.CloseRequest{BackendId: id})
	if err := errors.Join(err, conn.Close()); err != nil {
		t.Fatal(err)
	}
}

func TestAttachFails(t *testing.T) {
	dir := sockets(t)
	for _, tt := range []struct{ name, address, want string }{
		{"no plugin", "unix://" + dir + "/none", "describe plugin"},
		{"not a unix socket", "tcp://127.0.0.1:1", "want unix:///path"},
		{"relative path", "unix://socket", "want unix:///path"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := plugin.Open(within(t, patience), plugin.Spec{Type: "good", Attach: tt.address}, newLog(t))
			if err == nil {
				t.Fatal("attached")
			}
			checkOneLine(t, err, tt.want)
		})
	}
}
