package cluster

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	pb "github.com/holdfast/holdfast/host/cluster/proto/holdfast/cluster/v1alpha"
	"github.com/holdfast/holdfast/host/version"
)

func memberOf(instance string) Member {
	return Member{
		InstanceID: instance, Hostname: instance + ".example", APIAddress: "https://" + instance + ":8200",
		ClusterAddress: "https://" + instance + ":8201", Version: "1.0.0", Speaks: version.Spoken(),
	}
}

// standby is a running Attach.
type standby struct {
	notices atomic.Int32
	stop    context.CancelFunc
	done    chan error
}

func attach(t *testing.T, d *Dialer, target Target, self Member) *standby {
	t.Helper()
	connect(t, d, target)
	ctx, cancel := context.WithCancel(t.Context())
	s := &standby{stop: cancel, done: make(chan error, 1)}
	go func() { s.done <- d.Attach(ctx, target, self, func() { s.notices.Add(1) }) }()
	t.Cleanup(cancel)
	return s
}

func instances(m *Members) []string {
	var ids []string
	for _, member := range m.Members() {
		ids = append(ids, member.InstanceID)
	}
	return ids
}

func TestAttachedStandbysAreMembers(t *testing.T) {
	ca := newCA(t)
	server := startServer(t, ca, "active", answerOK)
	b := attach(t, newDialer(t, ca, "b"), server.target, memberOf("b"))
	a := attach(t, newDialer(t, ca, "a"), server.target, memberOf("a"))
	eventually(t, "both are members, by API address", func() bool {
		return slices.Equal(instances(server.members), []string{"a", "b"})
	})
	first := server.members.Members()[0]
	if first.LastEcho.IsZero() {
		t.Error("no time of the last echo")
	}
	eventually(t, "echoes come", func() bool { return server.members.Members()[0].LastEcho.After(first.LastEcho) })
	first.LastEcho, first.Attached = time.Time{}, time.Time{}
	if want := memberOf("a"); first != want {
		t.Errorf("got %+v, want %+v", first, want)
	}

	a.stop()
	if err := <-a.done; !errors.Is(err, context.Canceled) {
		t.Errorf("Attach: got %v, want the context's error", err)
	}
	eventually(t, "the one that left is gone", func() bool {
		return slices.Equal(instances(server.members), []string{"b"})
	})
	b.stop()
	if err := <-b.done; !errors.Is(err, context.Canceled) {
		t.Errorf("Attach: got %v, want the context's error", err)
	}
}

func TestNoticesReachEveryStandby(t *testing.T) {
	ca := newCA(t)
	server := startServer(t, ca, "active", answerOK)
	a := attach(t, newDialer(t, ca, "a"), server.target, memberOf("a"))
	b := attach(t, newDialer(t, ca, "b"), server.target, memberOf("b"))
	both := func(n int32) func() bool {
		return func() bool { return a.notices.Load() == n && b.notices.Load() == n }
	}
	eventually(t, "attaching counts as a notice", both(1))
	server.members.Notify()
	eventually(t, "the notice arrives", both(2))
}

func TestNotifyDoesNotBlockAndCoalesces(t *testing.T) {
	m := NewMembers()
	a, err := m.add(memberOf("a"))
	if err != nil {
		t.Fatal(err)
	}
	for range 1000 { // nobody reads
		m.Notify()
	}
	if got := len(a.notices); got != 1 {
		t.Errorf("got %d notices, want 1", got)
	}
}

// rawAttach opens a stream that the test speaks on itself.
func rawAttach(t *testing.T, d *Dialer, target Target) pb.Cluster_AttachClient {
	t.Helper()
	connect(t, d, target)
	l, err := d.acquire(target)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.release(l) })
	stream, err := l.client.Attach(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return stream
}

func drain(stream pb.Cluster_AttachClient) error {
	for {
		if _, err := stream.Recv(); err != nil {
			return err
		}
	}
}

func quickServer(c *ServerConfig) { c.EchoInterval = quickEcho }
func quickDialer(c *DialerConfig) { c.EchoInterval = quickEcho }

func TestMemberWithoutEchoesIsDropped(t *testing.T) {
	ca := newCA(t)
	server := startServer(t, ca, "active", answerOK, quickServer)
	stream := rawAttach(t, newDialer(t, ca, "a"), server.target)
	if err := stream.Send(&pb.AttachRequest{Member: memberToProto(memberOf("a"))}); err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err != nil {
		t.Fatal(err)
	}
	if err := drain(stream); status.Code(err) != codes.DeadlineExceeded {
		t.Errorf("the stream ended with %v, want DeadlineExceeded", err)
	}
	eventually(t, "the silent member is gone", func() bool { return len(server.members.Members()) == 0 })
}

func TestAttachRefuses(t *testing.T) {
	ca := newCA(t)
	server := startServer(t, ca, "active", answerOK, quickServer)
	long := memberOf("a")
	long.Hostname = strings.Repeat("h", maxMemberFieldBytes+1)
	for name, tc := range map[string]struct {
		first *pb.AttachRequest
		want  codes.Code
	}{
		"another's name": {&pb.AttachRequest{Member: memberToProto(memberOf("b"))}, codes.InvalidArgument},
		"no member":      {&pb.AttachRequest{}, codes.InvalidArgument},
		"a long field":   {&pb.AttachRequest{Member: memberToProto(long)}, codes.InvalidArgument},
		"silence":        {nil, codes.DeadlineExceeded},
	} {
		t.Run(name, func(t *testing.T) {
			stream := rawAttach(t, newDialer(t, ca, "a"), server.target)
			if tc.first != nil {
				if err := stream.Send(tc.first); err != nil {
					t.Fatal(err)
				}
			}
			if err := drain(stream); status.Code(err) != tc.want {
				t.Errorf("got %v, want %s", err, tc.want)
			}
			if got := server.members.Members(); len(got) != 0 {
				t.Errorf("got members %v", got)
			}
		})
	}
}

func TestMemberMayChange(t *testing.T) {
	ca := newCA(t)
	server := startServer(t, ca, "active", answerOK)
	stream := rawAttach(t, newDialer(t, ca, "a"), server.target)
	changed := memberOf("a")
	changed.Version = "2.0.0"
	for _, m := range []Member{memberOf("a"), changed} {
		if err := stream.Send(&pb.AttachRequest{Member: memberToProto(m)}); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "the change is seen", func() bool {
		list := server.members.Members()
		return len(list) == 1 && list[0].Version == "2.0.0"
	})
}

func TestNewStreamOfAStandbyReplacesTheOld(t *testing.T) {
	ca := newCA(t)
	server := startServer(t, ca, "active", answerOK)
	old := attach(t, newDialer(t, ca, "a"), server.target, memberOf("a"))
	eventually(t, "the first stream stands", func() bool { return old.notices.Load() == 1 })
	// As after a cut that only the standby has noticed.
	renewed := attach(t, newDialer(t, ca, "a"), server.target, memberOf("a"))
	if err := <-old.done; status.Code(errors.Unwrap(err)) != codes.Aborted {
		t.Errorf("the old stream ended with %v", err)
	}
	eventually(t, "the new stream stands", func() bool { return renewed.notices.Load() == 1 })
	if got := instances(server.members); !slices.Equal(got, []string{"a"}) {
		t.Errorf("got members %v, want a", got)
	}
}

func TestNumberOfMembersIsLimited(t *testing.T) {
	m := NewMembers()
	for i := range maxMembers {
		if _, err := m.add(Member{InstanceID: strings.Repeat("x", i+1)}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := m.add(Member{InstanceID: "one-more"}); err == nil {
		t.Error("one more was taken")
	}
	if _, err := m.add(Member{InstanceID: "x"}); err != nil {
		t.Errorf("one that is attached already was refused: %v", err)
	}
}

// frozen is a node whose kernel lives and whose process does not run.
type frozen struct {
	pb.UnimplementedClusterServer

	running chan struct{} // closed by the one Forward
}

func (frozen) Attach(stream pb.Cluster_AttachServer) error {
	<-stream.Context().Done()
	return stream.Context().Err()
}

func (f frozen) Forward(ctx context.Context, _ *pb.ForwardRequest) (*pb.ForwardResponse, error) {
	close(f.running)
	<-ctx.Done()
	return nil, ctx.Err()
}

func TestFrozenActiveIsNoticed(t *testing.T) {
	ca := newCA(t)
	cert, err := ca.Issue("active")
	if err != nil {
		t.Fatal(err)
	}
	ln, err := Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer(grpc.Creds(credentials.NewTLS(ServerTLS(ca, cert))))
	node := frozen{running: make(chan struct{})}
	pb.RegisterClusterServer(server, node)
	served := make(chan error, 1)
	go func() { served <- server.Serve(ln) }()
	defer func() {
		server.Stop()
		if err := <-served; err != nil {
			t.Errorf("serve: %v", err)
		}
	}()

	target := Target{Addr: ln.Addr().String(), InstanceID: "active"}
	d := newDialer(t, ca, "a", quickDialer)
	ended := make(chan outcome, 1)
	go func() {
		var o outcome
		for o.err == nil || !o.sent { // until it is connected
			o.resp, o.sent, o.err = d.Forward(t.Context(), target, &pb.ForwardRequest{})
		}
		ended <- o
	}()
	select {
	case <-node.running:
	case o := <-ended:
		t.Fatalf("the call ended before it ran: sent=%t, %v", o.sent, o.err)
	}
	err = d.Attach(t.Context(), target, memberOf("a"), func() { t.Error("a notice from a frozen node") })
	if !errors.Is(err, ErrSilent) {
		t.Errorf("Attach: got %v, want ErrSilent", err)
	}
	<-ended // by now, and as of unknown outcome
}

func TestStayAttachedComesBack(t *testing.T) {
	ca := newCA(t)
	server := startServer(t, ca, "active", answerOK)
	d := newDialer(t, ca, "a")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var notices atomic.Int32
	done := make(chan struct{})
	go func() {
		defer close(done)
		d.StayAttached(ctx, server.target, memberOf("a"), func() { notices.Add(1) })
	}()
	eventually(t, "attached", func() bool { return notices.Load() > 0 })
	before := notices.Load()
	server.conns.cut(t)
	eventually(t, "attached again, which counts as a notice", func() bool {
		return notices.Load() > before && len(server.members.Members()) == 1
	})
	cancel()
	<-done
}

func TestStopSendsStandbysAway(t *testing.T) {
	ca := newCA(t)
	server := startServer(t, ca, "active", answerOK, func(c *ServerConfig) { c.Grace = time.Hour })
	a := attach(t, newDialer(t, ca, "a"), server.target, memberOf("a"))
	eventually(t, "attached", func() bool { return a.notices.Load() == 1 })
	server.stop() // would last an hour if the stream held it up
	if err := <-a.done; status.Code(errors.Unwrap(err)) != codes.Unavailable {
		t.Errorf("Attach: got %v, want Unavailable", err)
	}
}

func TestStopEndsWhatOutlastsTheGrace(t *testing.T) {
	ca := newCA(t)
	running := make(chan struct{})
	ended := make(chan struct{})
	server := startServer(t, ca, "active", func(ctx context.Context, _ *pb.ForwardRequest) *pb.ForwardResponse {
		close(running)
		<-ctx.Done()
		close(ended)
		return &pb.ForwardResponse{}
	}, func(c *ServerConfig) { c.Grace = time.Millisecond })
	call := begin(t.Context(), t, newDialer(t, ca, "a"), server.target, running)
	server.stop()
	select {
	case <-ended:
	default:
		t.Error("Serve returned while a handler was running")
	}
	if o := <-call; o.err == nil || !o.sent {
		t.Errorf("the call got sent=%t, %v", o.sent, o.err)
	}
}
