package etcd

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/holdfast/holdfast/sdk/storage"
)

// fakeServer answers transactions by txn and every read by an empty range.
type fakeServer struct {
	pb.UnimplementedKVServer

	address string
	hits    atomic.Int32
	txn     func(ctx context.Context) (*pb.TxnResponse, error)
}

func (f *fakeServer) Txn(ctx context.Context, _ *pb.TxnRequest) (*pb.TxnResponse, error) {
	f.hits.Add(1)
	return f.txn(ctx)
}

func (f *fakeServer) Range(context.Context, *pb.RangeRequest) (*pb.RangeResponse, error) {
	return &pb.RangeResponse{Header: &pb.ResponseHeader{Revision: 7}}, nil
}

func fake(t *testing.T, txn func(ctx context.Context) (*pb.TxnResponse, error)) *fakeServer {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return fakeOn(t, listener, txn)
}

func fakeOn(t *testing.T, listener net.Listener, txn func(ctx context.Context) (*pb.TxnResponse, error)) *fakeServer {
	t.Helper()
	f := &fakeServer{address: listener.Addr().String(), txn: txn}
	s := grpc.NewServer()
	pb.RegisterKVServer(s, f)
	served := make(chan error, 1)
	go func() { served <- s.Serve(listener) }()
	t.Cleanup(func() {
		s.Stop()
		if err := <-served; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return f
}

func answer(err error) func(context.Context) (*pb.TxnResponse, error) {
	return func(context.Context) (*pb.TxnResponse, error) { return nil, err }
}

func success(context.Context) (*pb.TxnResponse, error) {
	return &pb.TxnResponse{Header: &pb.ResponseHeader{Revision: 8}, Succeeded: true}, nil
}

// backendAt returns a Backend for servers at addresses, without asking them anything.
func backendAt(t *testing.T, addresses string, change ...func(*Config)) *Backend {
	t.Helper()
	b, err := newBackend(t.Context(), configured(addresses, change...), hclog.NewNullLogger())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return b
}

func commitOne(ctx context.Context, b *Backend) error {
	_, err := b.Commit(ctx, storage.Guard{Key: "guard", Value: []byte("v")}, []storage.Op{storage.Put("k", nil)})
	return err
}

func TestCommitOutcomeByAnswer(t *testing.T) {
	for name, tt := range map[string]struct {
		answer  error
		outcome storage.Outcome
		err     error
		says    string
	}{
		"request too large":   {rpctypes.ErrGRPCRequestTooLarge, storage.Unapplied, storage.ErrTooLarge, "--max-request-bytes"},
		"too many operations": {rpctypes.ErrGRPCTooManyOps, storage.Unapplied, storage.ErrTooLarge, "max_txn_ops"},
		"message too large":   {status.Error(codes.ResourceExhausted, "grpc: received message larger than max"), storage.Unapplied, storage.ErrTooLarge, "max_receive_size"},
		"exhausted":           {status.Error(codes.ResourceExhausted, "something in between is busy"), storage.Unknown, storage.ErrUnavailable, "limit"},
		"reply too large":     {status.Error(codes.ResourceExhausted, "trying to send message larger than max (9 vs. 8)"), storage.Unknown, storage.ErrUnavailable, "limit"},
		"no space":            {rpctypes.ErrGRPCNoSpace, storage.Unapplied, storage.ErrUnavailable, "NOSPACE"},
		"permission denied":   {rpctypes.ErrGRPCPermissionDenied, storage.Unapplied, storage.ErrUnavailable, "role"},
		"wrong password":      {rpctypes.ErrGRPCAuthFailed, storage.Unapplied, storage.ErrUnavailable, "password"},
		"no user":             {rpctypes.ErrGRPCUserEmpty, storage.Unapplied, storage.ErrUnavailable, "username"},
		"invalid token":       {rpctypes.ErrGRPCInvalidAuthToken, storage.Unapplied, storage.ErrUnavailable, "token"},
		"overloaded":          {rpctypes.ErrGRPCRequestTooManyRequests, storage.Unapplied, storage.ErrUnavailable, "overloaded"},
		"no leader":           {rpctypes.ErrGRPCNoLeader, storage.Unapplied, storage.ErrUnavailable, "leader"},
		"learner":             {rpctypes.ErrGRPCNotSupportedForLearner, storage.Unapplied, storage.ErrUnavailable, "learner"},
		"leader changed":      {rpctypes.ErrGRPCLeaderChanged, storage.Unknown, storage.ErrUnavailable, ""},
		"timed out":           {rpctypes.ErrGRPCTimeout, storage.Unknown, storage.ErrUnavailable, ""},
		"leader failed":       {rpctypes.ErrGRPCTimeoutDueToLeaderFail, storage.Unknown, storage.ErrUnavailable, ""},
		"server stopped":      {rpctypes.ErrGRPCStopped, storage.Unknown, storage.ErrUnavailable, ""},
		"corrupt":             {rpctypes.ErrGRPCCorrupt, storage.Unknown, storage.ErrUnavailable, "CORRUPT"},
		"unavailable":         {status.Error(codes.Unavailable, "something in between"), storage.Unknown, storage.ErrUnavailable, ""},
		"never heard of":      {status.Error(codes.Unknown, "new"), storage.Unknown, storage.ErrUnavailable, "new"},
		// The client would send these again.
		"canceled by the server":     {status.Error(codes.Canceled, "context canceled"), storage.Unknown, storage.ErrUnavailable, ""},
		"the server's deadline":      {status.Error(codes.DeadlineExceeded, "context deadline exceeded"), storage.Unknown, storage.ErrUnavailable, ""},
		"words the client looks for": {status.Error(codes.Unavailable, "there is no connection available"), storage.Unknown, storage.ErrUnavailable, ""},
	} {
		s := fake(t, answer(tt.answer))
		err := commitOne(t.Context(), backendAt(t, s.address))
		if got := storage.OutcomeOf(err); got != tt.outcome || !errors.Is(err, tt.err) || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: %v (%v), want %v (%v) that says %q", name, err, got, tt.err, tt.outcome, tt.says)
		}
		if tooLarge, ok := errors.AsType[*storage.TooLargeError](err); ok != errors.Is(err, storage.ErrTooLarge) || ok && tooLarge.Limit <= 0 {
			t.Errorf("%s: %v, want one that names the limit", name, err)
		}
		if got := s.hits.Load(); got != 1 {
			t.Errorf("%s: the transaction was sent %d times, want once", name, got)
		}
	}
}

// A server that has no space says so before it applies a transaction or after: only a guard
// that has not moved tells that it was not applied.
func TestFullServerMayHaveApplied(t *testing.T) {
	s := fake(t, answer(rpctypes.ErrGRPCNoSpace))
	b := backendAt(t, s.address)
	for version, want := range map[storage.Version]storage.Outcome{"": storage.Unapplied, "5": storage.Unknown} {
		_, err := b.Commit(t.Context(), storage.Guard{Key: "absent", Version: version, Value: []byte("v")}, nil)
		if got := storage.OutcomeOf(err); got != want || !errors.Is(err, storage.ErrUnavailable) || !strings.Contains(err.Error(), "NOSPACE") {
			t.Errorf("commit at version %q: %v (%v), want ErrUnavailable (%v) that names the alarm", version, err, got, want)
		}
	}
	err := b.Write(t.Context(), []storage.Op{storage.Put("k", nil)})
	if got := storage.OutcomeOf(err); got != storage.Unknown || !errors.Is(err, storage.ErrUnavailable) {
		t.Errorf("write: %v (%v), want ErrUnavailable, outcome unknown", err, got)
	}
}

// gRPC has one code for a request that is over a limit, which was not looked at, and for a
// reply that is, which says that the request was carried out.
func TestMessagesOverTheLimit(t *testing.T) {
	const limit = 32 << 10 // for replies; the client's own for requests is 2 MiB
	s := fake(t, func(context.Context) (*pb.TxnResponse, error) {
		long := &mvccpb.KeyValue{Value: make([]byte, 2*limit)}
		reply := &pb.RangeResponse{Kvs: []*mvccpb.KeyValue{long}}
		return &pb.TxnResponse{Responses: []*pb.ResponseOp{{Response: &pb.ResponseOp_ResponseRange{ResponseRange: reply}}}}, nil
	})
	b := backendAt(t, s.address, func(c *Config) { c.MaxReceiveSize = limit })
	err := commitOne(t.Context(), b)
	if got := storage.OutcomeOf(err); got != storage.Unknown || s.hits.Load() != 1 {
		t.Errorf("the reply is over the limit: %v (%v), want an unknown outcome", err, got)
	}
	err = b.Write(t.Context(), []storage.Op{storage.Put("k", make([]byte, 3<<20))})
	if got := storage.OutcomeOf(err); got != storage.Unapplied || !errors.Is(err, storage.ErrTooLarge) || s.hits.Load() != 1 {
		t.Errorf("the request is over the client's limit: %v (%v), want ErrTooLarge", err, got)
	}
}

// A connection that breaks once the request was sent leaves the outcome unknown, and the
// request is sent to nobody else.
func TestCommitOnBrokenConnectionIsSentOnce(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	conns := make(chan net.Conn, 8)
	s := fakeOn(t, capture{listener, conns}, func(ctx context.Context) (*pb.TxnResponse, error) {
		if err := (<-conns).Close(); err != nil {
			t.Errorf("break the connection: %v", err)
		}
		<-ctx.Done()
		return nil, ctx.Err()
	})
	other := fake(t, success)
	b := backendAt(t, s.address+","+other.address)
	if _, err := b.Get(t.Context(), "k"); !errors.Is(err, storage.ErrNotFound) {
		t.Fatal(err)
	}
	err = commitOne(t.Context(), b)
	if got := storage.OutcomeOf(err); got != storage.Unknown || !errors.Is(err, storage.ErrUnavailable) {
		t.Errorf("the connection broke: %v (%v), want an unknown outcome", err, got)
	}
	if s.hits.Load() != 1 || other.hits.Load() != 0 {
		t.Errorf("sent %d times, and %d times to another member, want once", s.hits.Load(), other.hits.Load())
	}
	// The next one does not try the broken member first.
	if err := commitOne(t.Context(), b); err != nil || other.hits.Load() != 1 {
		t.Errorf("commit after that: %v, %d requests at the other member, want one", err, other.hits.Load())
	}
}

// capture hands out the connections that a listener accepts.
type capture struct {
	net.Listener
	conns chan net.Conn
}

func (c capture) Accept() (net.Conn, error) {
	conn, err := c.Listener.Accept()
	if err == nil {
		c.conns <- conn
	}
	return conn, err
}

// nobody returns an address at which nobody listens.
func nobody(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return l.Addr().String()
}

func TestCommitToNobodyIsNotApplied(t *testing.T) {
	address := nobody(t)
	started := time.Now()
	err := commitOne(t.Context(), backendAt(t, address))
	if got := storage.OutcomeOf(err); got != storage.Unapplied || !errors.Is(err, storage.ErrUnavailable) {
		t.Errorf("nobody listens: %v (%v), want ErrUnavailable, not applied", err, got)
	}
	if err != nil && !strings.Contains(err.Error(), address) {
		t.Errorf("the error %q does not name the address", err)
	}
	if took := time.Since(started); took > 3*time.Second {
		t.Errorf("it took %v to notice that nobody listens", took)
	}
}

// What certainly has not been looked at goes to another member at once.
func TestCommitMovesOn(t *testing.T) {
	for name, first := range map[string]string{
		"a member that is down":          nobody(t),
		"a member without a leader":      fake(t, answer(rpctypes.ErrGRPCNoLeader)).address,
		"a learner":                      fake(t, answer(rpctypes.ErrGRPCNotSupportedForLearner)).address,
		"one that accepts and is silent": silent(t),
	} {
		second := fake(t, success)
		b := backendAt(t, first+","+second.address, func(c *Config) { c.RequestTimeout = 2 * time.Second })
		if err := commitOne(t.Context(), b); err != nil || second.hits.Load() != 1 {
			t.Errorf("%s: %v, %d requests at the next member, want success and one", name, err, second.hits.Load())
		}
		if got := b.members.preferred().endpoint; !strings.HasSuffix(got, second.address) {
			t.Errorf("%s: the next request goes to %s, want %s", name, got, second.address)
		}
	}
}

// silent accepts connections and says nothing on them, not even HTTP/2's first words.
func silent(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l.Addr().String() // the kernel accepts
}

func TestFrozenServer(t *testing.T) {
	hang := func(ctx context.Context) (*pb.TxnResponse, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	s := fake(t, hang)

	t.Run("own timeout", func(t *testing.T) {
		err := commitOne(t.Context(), backendAt(t, s.address, func(c *Config) { c.RequestTimeout = 100 * time.Millisecond }))
		if got := storage.OutcomeOf(err); got != storage.Unknown || !errors.Is(err, storage.ErrUnavailable) {
			t.Errorf("%v (%v), want ErrUnavailable, outcome unknown", err, got)
		}
	})
	t.Run("caller's deadline", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		err := commitOne(ctx, backendAt(t, s.address))
		if got := storage.OutcomeOf(err); got != storage.Unknown || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v (%v), want the context's error, outcome unknown", err, got)
		}
	})
	t.Run("context over before", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		err := commitOne(ctx, backendAt(t, s.address))
		if got := storage.OutcomeOf(err); got != storage.Unapplied || !errors.Is(err, context.Canceled) {
			t.Errorf("%v (%v), want the context's error, not applied", err, got)
		}
	})
	t.Run("no connection in time", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		err := commitOne(ctx, backendAt(t, silent(t)))
		if got := storage.OutcomeOf(err); got != storage.Unapplied || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v (%v), want the context's error, not applied", err, got)
		}
	})
}

// late is a context whose deadline has passed and whose timer has not run yet.
type late struct{ context.Context }

func (late) Deadline() (time.Time, bool) { return time.Now().Add(-time.Microsecond), true }

// The server knows the caller's deadline and may be the first to say that it is over.
func TestDeadlineToldByTheServer(t *testing.T) {
	b := &Backend{}
	sent := new(passage)
	sent.left.Store(true)
	f := newFailure("member", status.Error(codes.DeadlineExceeded, "stream terminated"), sent)
	if err := b.readError(late{t.Context()}, f); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("read: %v, want the context's error", err)
	}
	if err := b.writeError(late{t.Context()}, f); !errors.Is(err, context.DeadlineExceeded) || storage.OutcomeOf(err) != storage.Unknown {
		t.Errorf("write: %v (%v), want the context's error, outcome unknown", err, storage.OutcomeOf(err))
	}
}
