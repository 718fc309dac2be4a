package cluster

import (
	"context"
	"errors"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"go.uber.org/goleak"

	pb "github.com/holdfast/holdfast/host/cluster/proto/holdfast/cluster/v1alpha"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// quickEcho is for tests in which echoes go missing. Elsewhere it would end streams
// whenever the machine is busy.
const quickEcho = 50 * time.Millisecond

// handlerFunc is a Handler made of a function.
type handlerFunc func(ctx context.Context, req *pb.ForwardRequest) *pb.ForwardResponse

func (f handlerFunc) Forward(ctx context.Context, req *pb.ForwardRequest) *pb.ForwardResponse {
	return f(ctx, req)
}

func answerOK(context.Context, *pb.ForwardRequest) *pb.ForwardResponse {
	return &pb.ForwardResponse{Status: 200}
}

const probePath = "/v1/probe"

// answerProbes keeps connect's requests from h.
func answerProbes(h handlerFunc) handlerFunc {
	return func(ctx context.Context, req *pb.ForwardRequest) *pb.ForwardResponse {
		if req.GetPath() == probePath {
			return answerOK(ctx, req)
		}
		return h(ctx, req)
	}
}

// connect makes d's connection to target. One attempt has a second, which is not always
// enough on a busy machine.
func connect(t testing.TB, d *Dialer, target Target) {
	t.Helper()
	eventually(t, "connected to the server", func() bool {
		_, _, err := d.Forward(t.Context(), target, &pb.ForwardRequest{Path: probePath})
		return err == nil
	})
}

// outcome is what Forward returned.
type outcome struct {
	resp *pb.ForwardResponse
	sent bool
	err  error
}

// begin forwards a request and returns when running is closed, which the server's handler does.
func begin(ctx context.Context, t *testing.T, d *Dialer, target Target, running <-chan struct{}) <-chan outcome {
	t.Helper()
	connect(t, d, target)
	ended := make(chan outcome, 1)
	go func() {
		resp, sent, err := d.Forward(ctx, target, &pb.ForwardRequest{})
		ended <- outcome{resp, sent, err}
	}()
	select {
	case <-running:
	case o := <-ended:
		t.Fatalf("the call ended before it ran: sent=%t, %v", o.sent, o.err)
	}
	return ended
}

func newCA(t testing.TB) *CA {
	t.Helper()
	ca, err := NewCA()
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

// testServer is a running Serve.
type testServer struct {
	target  Target
	members *Members
	conns   *trackedListener
	stop    func() // orderly; returns when Serve has
}

func startServer(t testing.TB, ca *CA, instance string, h handlerFunc, change ...func(*ServerConfig)) *testServer {
	t.Helper()
	cert, err := ca.Issue(instance)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	conns := &trackedListener{Listener: ln, open: make(map[net.Conn]bool)}
	cfg := ServerConfig{
		TLS: ServerTLS(ca, cert), Handler: answerProbes(h), Members: NewMembers(), Log: hclog.NewNullLogger(),
	}
	for _, f := range change {
		f(&cfg)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- Serve(ctx, conns, cfg) }()
	stop := sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil && !errors.Is(err, net.ErrClosed) { // closed by kill
			t.Errorf("Serve: %v", err)
		}
	})
	t.Cleanup(stop)
	return &testServer{
		target:  Target{Addr: ln.Addr().String(), InstanceID: instance},
		members: cfg.Members, conns: conns, stop: stop,
	}
}

func newDialer(t testing.TB, ca *CA, instance string, change ...func(*DialerConfig)) *Dialer {
	t.Helper()
	cert, err := ca.Issue(instance)
	if err != nil {
		t.Fatal(err)
	}
	cfg := DialerConfig{CA: ca, Certificate: cert, Log: hclog.NewNullLogger()}
	for _, f := range change {
		f(&cfg)
	}
	d, err := NewDialer(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return d
}

// trackedListener knows its open connections and can cut them.
type trackedListener struct {
	net.Listener

	mu       sync.Mutex
	open     map[net.Conn]bool
	accepted int
}

func (l *trackedListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open[c] = true
	l.accepted++
	return &trackedConn{Conn: c, closed: func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.open, c)
	}}, nil
}

func (l *trackedListener) counts() (open, accepted int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.open), l.accepted
}

// kill closes the listener and resets every connection, as the kernel does for a killed process.
func (l *trackedListener) kill(t testing.TB) {
	t.Helper()
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	l.cut(t)
}

// cut resets every connection.
func (l *trackedListener) cut(t testing.TB) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.open {
		if tcp, ok := c.(*net.TCPConn); ok {
			if err := errors.Join(tcp.SetLinger(0), tcp.Close()); err != nil {
				t.Error(err)
			}
		}
	}
}

type trackedConn struct {
	net.Conn
	closed func()
}

func (c *trackedConn) Close() error {
	c.closed()
	return c.Conn.Close()
}

// eventually polls until done says so, and fails the test after 30 s.
func eventually(t testing.TB, what string, done func() bool) {
	t.Helper()
	deadline := time.NewTimer(30 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("not within 30 s: %s", what)
		}
	}
}
