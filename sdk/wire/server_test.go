package wire

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"

	pb "github.com/holdfast/holdfast/sdk/proto/holdfast/storage/v1"
	"github.com/holdfast/holdfast/sdk/storage"
)

func TestDescribeSaysWhatTheImplementationIs(t *testing.T) {
	for _, ha := range []bool{true, false} {
		want := Description{Name: "fake", Version: "1.2", SDK: "test", HA: ha, Options: []Option{
			{Name: "token", Type: "string", Default: "d", Description: "what it is", Required: true, Secret: true},
		}}
		client := NewClient(dial(t, func(s *grpc.Server) { Register(s, Implementation{Description: want}) }), "fake")
		if err := client.Ping(t.Context()); err != nil {
			t.Errorf("ping: %v", err)
		}
		got, err := client.Describe(t.Context())
		if err != nil || got.Name != want.Name || got.Version != want.Version || got.SDK != want.SDK || got.HA != ha ||
			len(got.Options) != 1 || got.Options[0] != want.Options[0] {
			t.Errorf("describe: got %+v, %v, want %+v", got, err, want)
		}
	}
}

// The server does not rely on the host's checks: calls past the client, straight to it,
// never reach the backend.
func TestServerChecksBeforeItCalls(t *testing.T) {
	client, server := serveFake(t, &fakeBackend{}, smallLimits) // its methods would panic
	b, err := client.Configure(t.Context(), nil)
	if err != nil {
		t.Fatalf("configure: %v", err)
	}
	backends, ha := backendService{server: server}, haService{server: server}
	calls := map[string]func() error{
		"get": func() error {
			_, err := backends.Get(t.Context(), &pb.GetRequest{BackendId: b.id, Key: "a//b"})
			return err
		},
		"list": func() error {
			_, err := backends.List(t.Context(), &pb.ListRequest{BackendId: b.id, Prefix: "a"})
			return err
		},
		"write": func() error {
			_, err := backends.Write(t.Context(), &pb.WriteRequest{BackendId: b.id, Ops: []*pb.Op{{Kind: 1}}})
			return err
		},
		"commit": func() error { _, err := ha.Commit(t.Context(), &pb.CommitRequest{BackendId: b.id}); return err },
		"watch": func() error {
			_, err := ha.Watch(t.Context(), &pb.WatchRequest{BackendId: b.id, Key: ".."})
			return err
		},
	}
	for name, call := range calls {
		if got := fromStatus(t.Context(), "fake", name, call()); !errors.Is(got, storage.ErrInvalidKey) {
			t.Errorf("%s: got %v, want ErrInvalidKey", name, got)
		}
	}
	_, err = backends.Write(t.Context(), &pb.WriteRequest{BackendId: b.id, Ops: make([]*pb.Op, smallLimits.MaxOps+1)})
	if got := fromStatus(t.Context(), "fake", "write", err); !errors.Is(got, storage.ErrTooLarge) {
		t.Errorf("too many ops: got %v, want ErrTooLarge", got)
	}
	_, err = backends.Write(t.Context(), &pb.WriteRequest{BackendId: b.id, Ops: []*pb.Op{{Kind: 9, Key: "k"}}})
	if got := fromStatus(t.Context(), "fake", "write", err); !errors.Is(got, storage.ErrUnsupported) {
		t.Errorf("unknown op: got %v, want ErrUnsupported", got)
	}
}

func TestUnknownBackendIsUnconfiguredAndNothingWasApplied(t *testing.T) {
	client, _ := serveFake(t, &fakeBackend{}, smallLimits)
	b, err := client.Configure(t.Context(), nil)
	if err != nil {
		t.Fatalf("configure: %v", err)
	}
	if err := errors.Join(b.Close(), b.Close()); err != nil {
		t.Errorf("close twice: %v", err)
	}
	_, err = b.Commit(t.Context(), storage.Guard{Key: "g"}, nil)
	if !errors.Is(err, ErrUnconfigured) || storage.OutcomeOf(err) != storage.Unapplied {
		t.Errorf("commit: got %v (%v), want ErrUnconfigured, not applied", err, storage.OutcomeOf(err))
	}
}

func TestPanicFailsOneCallOnly(t *testing.T) {
	b := openFake(t, &fakeBackend{
		write: func(context.Context, []storage.Op) error { panic("bug") },
		get:   func(context.Context, string) (storage.Item, error) { return storage.Item{Version: "1"}, nil },
	})
	err := b.Write(t.Context(), []storage.Op{storage.Put("k", nil)})
	if !errors.Is(err, storage.ErrUnavailable) || storage.OutcomeOf(err) != storage.Unknown {
		t.Errorf("write: got %v (%v), want ErrUnavailable, outcome unknown", err, storage.OutcomeOf(err))
	}
	if _, err := b.Get(t.Context(), "k"); err != nil {
		t.Errorf("get afterwards: %v", err)
	}
	if err := b.Close(); err != nil { // the panic left the backend, so Close need not wait
		t.Errorf("close: %v", err)
	}
}

func TestCloseEndsTheCallsInsideAndWaitsForThem(t *testing.T) {
	var inside atomic.Bool
	entered := make(chan struct{})
	fake := &fakeBackend{
		watch: func(ctx context.Context, _ string, _ storage.Version) (storage.Item, error) {
			inside.Store(true)
			close(entered)
			<-ctx.Done()
			inside.Store(false)
			return storage.Item{}, ctx.Err()
		},
		close: func() error {
			if inside.Load() {
				return errors.New("closed with a call inside")
			}
			return nil
		},
	}
	client, server := serveFake(t, fake, smallLimits)
	b, err := client.Configure(t.Context(), nil)
	if err != nil {
		t.Fatalf("configure: %v", err)
	}
	watched := make(chan error, 1)
	go func() {
		_, err := b.Watch(t.Context(), "k", "")
		watched <- err
	}()
	<-entered
	if err := server.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	if err := <-watched; !errors.Is(err, storage.ErrUnavailable) || errors.Is(err, context.Canceled) {
		t.Errorf("watch: got %v, want ErrUnavailable and not the caller's own context's error", err)
	}
	if _, err := client.Configure(t.Context(), nil); !errors.Is(err, storage.ErrUnavailable) {
		t.Errorf("configure after close: got %v, want ErrUnavailable", err)
	}
}

func TestOpenedBackendMustBeWhatIsDescribed(t *testing.T) {
	var closed atomic.Bool
	plain := struct{ storage.Backend }{&fakeBackend{close: func() error { closed.Store(true); return nil }}}
	client := NewClient(dial(t, func(s *grpc.Server) {
		Register(s, Implementation{
			Description: Description{Name: "fake", HA: true},
			Open: func(context.Context, []byte) (storage.Backend, storage.Capabilities, error) {
				return plain, storage.Capabilities{Limits: smallLimits}, nil
			},
		})
	}), "fake")
	if _, err := client.Configure(t.Context(), nil); err == nil || !closed.Load() {
		t.Errorf("configure: got %v, closed %v, want an error and the backend closed", err, closed.Load())
	}
}

func TestBackendNobodyWaitsForIsClosed(t *testing.T) {
	closed := make(chan struct{})
	client := NewClient(dial(t, func(s *grpc.Server) {
		Register(s, Implementation{Open: func(ctx context.Context, _ []byte) (storage.Backend, storage.Capabilities, error) {
			<-ctx.Done() // the host has given up by now
			return &fakeBackend{close: func() error { close(closed); return nil }}, storage.Capabilities{Limits: smallLimits}, nil
		}})
	}), "fake")
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := client.Configure(ctx, nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("configure: got %v, want context.DeadlineExceeded", err)
	}
	<-closed
}
