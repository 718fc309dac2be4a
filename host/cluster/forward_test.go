package cluster

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	pb "github.com/holdfast/holdfast/host/cluster/proto/holdfast/cluster/v1alpha"
)

func TestForwardCarriesRequestAndAnswer(t *testing.T) {
	ca := newCA(t)
	req := &pb.ForwardRequest{
		Epoch: 7, Method: "PUT", Path: "/v1/secret/data/a", Query: "x=1", RemoteAddr: "192.0.2.1:5",
		Token: "t",
		Body:  bytes.Repeat([]byte{'b'}, DefaultMaxRequestBytes), // the limit itself
	}
	want := &pb.ForwardResponse{
		Status: 200, Body: bytes.Repeat([]byte{'r'}, 5<<20),
		RetryAfter: 1,
	}
	server := startServer(t, ca, "active", func(ctx context.Context, got *pb.ForwardRequest) *pb.ForwardResponse {
		if !proto.Equal(got, req) {
			t.Error("the request changed on its way")
		}
		if sender, ok := RemoteInstance(ctx); !ok || sender != "standby" {
			t.Errorf("got the sender %q, %t", sender, ok)
		}
		if _, ok := ctx.Deadline(); !ok {
			t.Error("the sender's deadline did not arrive")
		}
		return want
	})
	d := newDialer(t, ca, "standby")
	connect(t, d, server.target)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	got, sent, err := d.Forward(ctx, server.target, req)
	if err != nil || !sent {
		t.Fatalf("got sent=%t, %v", sent, err)
	}
	if !proto.Equal(got, want) {
		t.Error("the answer changed on its way")
	}
}

func TestForwardPassesRefusalsOn(t *testing.T) {
	ca := newCA(t)
	server := startServer(t, ca, "n1", func(context.Context, *pb.ForwardRequest) *pb.ForwardResponse {
		return &pb.ForwardResponse{Refused: true, Epoch: 9}
	})
	d := newDialer(t, ca, "n2")
	connect(t, d, server.target)
	got, _, err := d.Forward(t.Context(), server.target, &pb.ForwardRequest{Epoch: 8})
	if err != nil || !got.GetRefused() || got.GetEpoch() != 9 {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestForwardLimits(t *testing.T) {
	ca := newCA(t)
	tooLong := &pb.ForwardRequest{Body: make([]byte, DefaultMaxRequestBytes+1)}
	var ran atomic.Int32
	run := func(_ context.Context, req *pb.ForwardRequest) *pb.ForwardResponse {
		ran.Add(1)
		if req.GetMethod() == "LIST" {
			return &pb.ForwardResponse{Body: make([]byte, MaxResponseBytes+1)}
		}
		return &pb.ForwardResponse{}
	}
	server := startServer(t, ca, "n1", run)

	_, sent, err := newDialer(t, ca, "n2").Forward(t.Context(), server.target, tooLong)
	if !errors.Is(err, ErrRequestTooLarge) || sent {
		t.Errorf("over the own limit: got sent=%t, %v", sent, err)
	}
	d := newDialer(t, ca, "n3", func(c *DialerConfig) { c.MaxRequestBytes = 8 << 20 })
	connect(t, d, server.target)
	tooLong.Body = make([]byte, 4<<20)
	_, sent, err = d.Forward(t.Context(), server.target, tooLong)
	if !errors.Is(err, ErrRequestTooLarge) || !sent {
		t.Errorf("over the peer's limit: got sent=%t, %v", sent, err)
	}
	if got := ran.Load(); got != 0 {
		t.Errorf("%d requests ran", got)
	}
	_, sent, err = d.Forward(t.Context(), server.target, &pb.ForwardRequest{Method: "LIST"})
	if !errors.Is(err, ErrResponseTooLarge) || !sent {
		t.Errorf("answer over the limit: got sent=%t, %v", sent, err)
	}
}

func TestNotSentWhenNobodyListens(t *testing.T) {
	ca := newCA(t)
	server := startServer(t, ca, "n1", answerOK)
	server.stop()
	d := newDialer(t, ca, "n2")
	for range 3 { // the first attempt and those during gRPC's backoff
		_, sent, err := d.Forward(t.Context(), server.target, &pb.ForwardRequest{})
		if err == nil || sent {
			t.Errorf("got sent=%t, %v", sent, err)
		}
	}
}

func TestNotSentAfterTheNodeDied(t *testing.T) {
	ca := newCA(t)
	server := startServer(t, ca, "n1", answerOK)
	d := newDialer(t, ca, "n2")
	connect(t, d, server.target)
	// Until the reset is read a request may count as sent: who writes into a dying
	// connection can not know better.
	server.conns.kill(t)
	eventually(t, "a request is known not to have left", func() bool {
		_, sent, err := d.Forward(t.Context(), server.target, &pb.ForwardRequest{})
		if err == nil {
			t.Fatal("a dead node answered")
		}
		return !sent
	})
}

func TestNotSentToAHangingAddress(t *testing.T) {
	// The kernel accepts, nobody speaks TLS: a frozen node.
	ln, err := Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	start := time.Now()
	_, sent, err := newDialer(t, newCA(t), "n2").Forward(t.Context(), Target{Addr: ln.Addr().String()}, &pb.ForwardRequest{})
	if err == nil || sent {
		t.Errorf("got sent=%t, %v", sent, err)
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("took %s, want about %s", took, connectTimeout)
	}
}

func TestNotSentToAnotherInstance(t *testing.T) {
	ca := newCA(t)
	server := startServer(t, ca, "restarted", answerOK)
	_, sent, err := newDialer(t, ca, "n2").Forward(t.Context(), Target{Addr: server.target.Addr, InstanceID: "before"}, &pb.ForwardRequest{})
	if err == nil || sent || !strings.Contains(err.Error(), "instance restarted, want before") {
		t.Errorf("got sent=%t, %v", sent, err)
	}
}

func TestNotSentToAnotherCluster(t *testing.T) {
	server := startServer(t, newCA(t), "n1", answerOK)
	_, sent, err := newDialer(t, newCA(t), "n2").Forward(t.Context(), server.target, &pb.ForwardRequest{})
	if err == nil || sent {
		t.Errorf("got sent=%t, %v", sent, err)
	}
}

func TestSentWhenTheNodeDiesInTheCall(t *testing.T) {
	ca := newCA(t)
	running := make(chan struct{})
	server := startServer(t, ca, "n1", func(ctx context.Context, _ *pb.ForwardRequest) *pb.ForwardResponse {
		close(running)
		<-ctx.Done() // the connection's end
		return &pb.ForwardResponse{}
	})
	ended := begin(t.Context(), t, newDialer(t, ca, "n2"), server.target, running)
	server.conns.kill(t)
	if o := <-ended; o.err == nil || !o.sent {
		t.Errorf("got sent=%t, %v", o.sent, o.err)
	}
}

func TestForwardEndsWithItsContext(t *testing.T) {
	ca := newCA(t)
	running := make(chan struct{})
	server := startServer(t, ca, "n1", func(ctx context.Context, _ *pb.ForwardRequest) *pb.ForwardResponse {
		close(running)
		<-ctx.Done()
		return &pb.ForwardResponse{}
	})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	d := newDialer(t, ca, "n2")
	ended := begin(ctx, t, d, server.target, running)
	cancel()
	if o := <-ended; !errors.Is(o.err, context.Canceled) || !o.sent {
		t.Errorf("got sent=%t, %v", o.sent, o.err)
	}
	_, sent, err := d.Forward(ctx, server.target, &pb.ForwardRequest{})
	if !errors.Is(err, context.Canceled) || sent {
		t.Errorf("with a context that is done already: got sent=%t, %v", sent, err)
	}
}

func TestPanicOfAHandlerIsAnError(t *testing.T) {
	ca := newCA(t)
	server := startServer(t, ca, "n1", func(context.Context, *pb.ForwardRequest) *pb.ForwardResponse { panic("oops") })
	d := newDialer(t, ca, "n2")
	connect(t, d, server.target)
	_, sent, err := d.Forward(t.Context(), server.target, &pb.ForwardRequest{})
	if err == nil || !sent || strings.Contains(err.Error(), "oops") {
		t.Errorf("got sent=%t, %v", sent, err)
	}
}

// Under load, a node that stops in order answers what it has begun, and everything else
// is known not to have run there.
func TestOrderlyStopLeavesNoOutcomeUnknown(t *testing.T) {
	ca := newCA(t)
	var mu sync.Mutex
	ran := make(map[string]bool)
	server := startServer(t, ca, "n1", func(_ context.Context, req *pb.ForwardRequest) *pb.ForwardResponse {
		mu.Lock()
		defer mu.Unlock()
		ran[req.GetPath()] = true
		return &pb.ForwardResponse{Status: 200}
	})
	d := newDialer(t, ca, "n2")
	connect(t, d, server.target)
	var answered atomic.Int32
	var callers sync.WaitGroup
	for caller := range 8 {
		callers.Go(func() {
			for n := 0; ; n++ {
				path := "/v1/" + string(rune('a'+caller)) + strings.Repeat("x", n)
				_, sent, err := d.Forward(t.Context(), server.target, &pb.ForwardRequest{Path: path})
				mu.Lock()
				did := ran[path]
				mu.Unlock()
				switch {
				case err == nil && !did:
					t.Errorf("answered although it did not run")
				case err == nil:
					answered.Add(1)
					continue
				case !sent && did:
					t.Errorf("not sent, but it ran: %v", err)
				case sent:
					t.Errorf("outcome unknown, and it ran: %t: %v", did, err)
				}
				return
			}
		})
	}
	eventually(t, "some requests ran", func() bool { return answered.Load() > 200 })
	server.stop()
	callers.Wait()
}

func BenchmarkForward1KiB(b *testing.B) {
	ca := newCA(b)
	body := make([]byte, 1024)
	server := startServer(b, ca, "n1", func(context.Context, *pb.ForwardRequest) *pb.ForwardResponse {
		return &pb.ForwardResponse{Status: 200, Body: body}
	})
	d := newDialer(b, ca, "n2")
	connect(b, d, server.target)
	req := &pb.ForwardRequest{Method: "PUT", Path: "/v1/secret/data/a", Body: body}
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			if _, _, err := d.Forward(b.Context(), server.target, req); err != nil {
				b.Error(err)
				return
			}
		}
	})
}
