package inmem_test

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"

	"github.com/holdfast/holdfast/plugins/inmem"
	"github.com/holdfast/holdfast/sdk"
	"github.com/holdfast/holdfast/sdk/storage"
	"github.com/holdfast/holdfast/sdk/storagetest"
	"github.com/holdfast/holdfast/sdk/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// everyday are the profiles of a backend that is not looked at as a program.
var everyday = []storagetest.Profile{storagetest.Core, storagetest.Txn, storagetest.HA}

func TestContract(t *testing.T) {
	plugin := inmem.New()
	storagetest.Run(t, storagetest.Harness{
		Expect: everyday,
		Open: func(ctx context.Context) (storage.Backend, storage.Capabilities, error) {
			return plugin.Open(ctx, plugin.Defaults, sdk.Env{Logger: hclog.NewNullLogger()})
		},
	})
}

func TestDataIsSharedByName(t *testing.T) {
	client := serve(t, inmem.New())
	a1 := configure(t, client, map[string]any{"name": "a"})
	a2 := configure(t, client, map[string]any{"name": "a"})
	b := configure(t, client, map[string]any{"name": "b"})
	if err := a1.Write(t.Context(), []storage.Op{storage.Put("k", []byte("v"))}); err != nil {
		t.Fatalf("write: %v", err)
	}
	if err := a1.Close(); err != nil {
		t.Fatalf("close: %v", err)
	}
	if item, err := a2.Get(t.Context(), "k"); err != nil || string(item.Value) != "v" {
		t.Errorf("same name: got %q, %v, want v", item.Value, err)
	}
	if _, err := b.Get(t.Context(), "k"); !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("other name: got %v, want ErrNotFound", err)
	}
}

func TestRefusedOptionsAreNamed(t *testing.T) {
	client := serve(t, inmem.New())
	_, err := client.Configure(t.Context(), []byte(`{"nam": "x", "latency": "-1s", "max_value_size": 1}`))
	if !errors.Is(err, wire.ErrInvalidConfig) || !strings.Contains(err.Error(), `"nam" is unknown, did you mean "name"?`) {
		t.Errorf("unknown option: got %v, want ErrInvalidConfig that names it", err)
	}
	_, err = client.Configure(t.Context(), []byte(`{"name": "", "latency": "-1s", "max_value_size": 1}`))
	if !errors.Is(err, wire.ErrInvalidConfig) {
		t.Fatalf("bad options: got %v, want ErrInvalidConfig", err)
	}
	for _, name := range []string{`"name"`, `"latency"`, `"max_value_size"`} {
		if !strings.Contains(err.Error(), name) {
			t.Errorf("bad options: got %q, want it to name %s", err, name)
		}
	}
}

func TestLatencyDelaysEveryCallButNotBeyondItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		plugin := inmem.New()
		cfg := plugin.Defaults
		cfg.Latency = 3 * time.Second
		b := open(t, plugin, cfg)
		calls := map[string]func(context.Context) error{
			"get":   func(ctx context.Context) error { _, err := b.Get(ctx, "absent"); return err },
			"list":  func(ctx context.Context) error { _, err := b.List(ctx, "", "", 0); return err },
			"write": func(ctx context.Context) error { return b.Write(ctx, []storage.Op{storage.Put("k", nil)}) },
		}
		for name, call := range calls {
			start := time.Now()
			_ = call(t.Context())
			if took := time.Since(start); took != cfg.Latency {
				t.Errorf("%s: took %v, want %v", name, took, cfg.Latency)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			if err := call(ctx); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s: got %v, want context.DeadlineExceeded", name, err)
			}
			cancel()
		}
	})
}

func TestThousandCancelledWatchesLeakNothing(t *testing.T) {
	client := serve(t, inmem.New())
	b := configure(t, client, nil)
	ctx, cancel := context.WithCancel(t.Context())
	errs := make(chan error)
	for range 1000 {
		go func() {
			_, err := b.Watch(ctx, "k", "")
			errs <- err
		}()
	}
	cancel()
	for range 1000 {
		if err := <-errs; !errors.Is(err, context.Canceled) {
			t.Fatalf("watch: got %v, want context.Canceled", err)
		}
	}
	// The handlers in the plugin end too, for Close waits for them; TestMain looks for
	// goroutines left behind.
	if err := b.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
}

func open(t *testing.T, plugin sdk.Plugin[inmem.Config, *inmem.Backend], cfg inmem.Config) *inmem.Backend {
	t.Helper()
	b, _, err := plugin.Open(t.Context(), cfg, sdk.Env{Logger: hclog.NewNullLogger()})
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	return b
}

// serve serves plugin until the test ends.
func serve(t *testing.T, plugin sdk.Plugin[inmem.Config, *inmem.Backend]) *wire.Client {
	t.Helper()
	listener := bufconn.Listen(1 << 20)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- sdk.Serve(ctx, listener, plugin, hclog.NewNullLogger()) }()
	conn, err := grpc.NewClient("passthrough:inmem", append(wire.DialOptions(),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }))...)
	if err != nil {
		t.Fatalf("dial: %v", err)
	}
	t.Cleanup(func() {
		if err := conn.Close(); err != nil {
			t.Errorf("close connection: %v", err)
		}
		cancel()
		if err := <-done; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return wire.NewClient(conn, plugin.Name)
}

func configure(t *testing.T, client *wire.Client, options map[string]any) *wire.Backend {
	t.Helper()
	stanza, err := json.Marshal(options)
	if err != nil {
		t.Fatalf("encode options: %v", err)
	}
	if options == nil {
		stanza = nil
	}
	b, err := client.Configure(t.Context(), stanza)
	if err != nil {
		t.Fatalf("configure: %v", err)
	}
	return b
}
