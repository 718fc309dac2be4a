package wire

import (
	"context"
	"net"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/proto"

	pb "github.com/holdfast/holdfast/sdk/proto/holdfast/storage/v1"
	"github.com/holdfast/holdfast/sdk/storage"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// dial serves what register registers and returns a connection to it.
func dial(t *testing.T, register func(*grpc.Server)) *grpc.ClientConn {
	t.Helper()
	listener := bufconn.Listen(1 << 20)
	s := grpc.NewServer(append(ServerOptions(), RecoverPanics(hclog.NewNullLogger()))...)
	register(s)
	done := make(chan error, 1)
	go func() { done <- s.Serve(listener) }()
	conn, err := grpc.NewClient("passthrough:plugin", append(DialOptions(),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }))...)
	if err != nil {
		t.Fatalf("dial: %v", err)
	}
	t.Cleanup(func() {
		if err := conn.Close(); err != nil {
			t.Errorf("close connection: %v", err)
		}
		s.Stop()
		if err := <-done; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return conn
}

// smallLimits are the least the host accepts.
var smallLimits = storage.Limits{
	MaxKeyBytes:   storage.MaxKeyBytes / 2,
	MaxValueBytes: storage.MinValueBytes,
	MaxOps:        storage.MinOps,
	MaxBatchBytes: 2 * storage.MinValueBytes,
}

// fakeBackend is an HABackend made of functions; the zero value answers nothing well.
type fakeBackend struct {
	get    func(context.Context, string) (storage.Item, error)
	list   func(context.Context, string, string, int) ([]string, error)
	write  func(context.Context, []storage.Op) error
	commit func(context.Context, storage.Guard, []storage.Op) (storage.Version, error)
	watch  func(context.Context, string, storage.Version) (storage.Item, error)
	close  func() error
}

func (f *fakeBackend) Get(ctx context.Context, key string) (storage.Item, error) {
	return f.get(ctx, key)
}

func (f *fakeBackend) List(ctx context.Context, prefix, after string, limit int) ([]string, error) {
	return f.list(ctx, prefix, after, limit)
}

func (f *fakeBackend) Write(ctx context.Context, ops []storage.Op) error { return f.write(ctx, ops) }

func (f *fakeBackend) Commit(ctx context.Context, g storage.Guard, ops []storage.Op) (storage.Version, error) {
	return f.commit(ctx, g, ops)
}

func (f *fakeBackend) Watch(ctx context.Context, key string, seen storage.Version) (storage.Item, error) {
	return f.watch(ctx, key, seen)
}

func (f *fakeBackend) Close() error {
	if f.close == nil {
		return nil
	}
	return f.close()
}

// serveFake serves b behind a Server and returns both ends.
func serveFake(t *testing.T, b *fakeBackend, limits storage.Limits) (*Client, *Server) {
	t.Helper()
	var server *Server
	conn := dial(t, func(s *grpc.Server) {
		server = Register(s, Implementation{
			Description: Description{Name: "fake", Version: "1", SDK: "test", HA: true},
			Open: func(context.Context, []byte) (storage.Backend, storage.Capabilities, error) {
				return b, storage.Capabilities{Limits: limits}, nil
			},
		})
	})
	return NewClient(conn, "fake"), server
}

func openFake(t *testing.T, b *fakeBackend) *Backend {
	t.Helper()
	client, _ := serveFake(t, b, smallLimits)
	backend, err := client.Configure(t.Context(), nil)
	if err != nil {
		t.Fatalf("configure: %v", err)
	}
	return backend
}

func TestLargestCommitFitsAMessage(t *testing.T) {
	l := MaxLimits()
	value := make([]byte, l.MaxValueBytes)
	guard := storage.Guard{
		Key:     strings.Repeat("g", l.MaxKeyBytes),
		Version: storage.Version(strings.Repeat("v", storage.MaxVersionBytes)),
		Prev:    value,
	}
	ops := make([]storage.Op, l.MaxOps)
	share := (l.MaxBatchBytes - len(guard.Key)) / l.MaxOps
	for i := range ops {
		ops[i] = storage.Put("1234", value[:share-4])
	}
	req := &pb.CommitRequest{BackendId: strings.Repeat("i", 26), Guard: guardToProto(guard), Ops: opsToProto(ops)}
	if size := proto.Size(req); size > MaxMessageBytes {
		t.Errorf("the largest commit has %d bytes, want at most %d", size, MaxMessageBytes)
	}
}
