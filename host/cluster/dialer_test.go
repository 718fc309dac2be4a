package cluster

import (
	"context"
	"errors"
	"testing"
	"time"

	pb "github.com/holdfast/holdfast/host/cluster/proto/holdfast/cluster/v1alpha"
)

func TestOneConnectionForManyCalls(t *testing.T) {
	ca := newCA(t)
	server := startServer(t, ca, "n1", answerOK)
	d := newDialer(t, ca, "n2")
	connect(t, d, server.target)
	_, before := server.conns.counts()
	for range 20 {
		if _, _, err := d.Forward(t.Context(), server.target, &pb.ForwardRequest{}); err != nil {
			t.Fatal(err)
		}
	}
	if open, after := server.conns.counts(); open != 1 || after != before {
		t.Errorf("got %d connections and %d new ones, want the one there was", open, after-before)
	}
}

func TestChangeOfTargetCutsNoCallShort(t *testing.T) {
	ca := newCA(t)
	running, finish := make(chan struct{}), make(chan struct{})
	former := startServer(t, ca, "n1", func(context.Context, *pb.ForwardRequest) *pb.ForwardResponse {
		close(running)
		<-finish
		return &pb.ForwardResponse{Status: 204}
	})
	active := startServer(t, ca, "n2", answerOK)
	d := newDialer(t, ca, "n3")

	ended := begin(t.Context(), t, d, former.target, running)
	connect(t, d, active.target)
	if open, _ := former.conns.counts(); open != 1 {
		t.Errorf("the former target has %d connections during the call, want 1", open)
	}
	close(finish)
	if o := <-ended; o.err != nil || o.resp.GetStatus() != 204 {
		t.Errorf("got status %d, %v; want 204", o.resp.GetStatus(), o.err)
	}
	eventually(t, "the former connection is closed", func() bool {
		open, _ := former.conns.counts()
		return open == 0
	})
}

// A former active node that is frozen keeps nobody waiting for its answer.
func TestSilentFormerTargetIsGivenUp(t *testing.T) {
	ca := newCA(t)
	running, finish := make(chan struct{}), make(chan struct{})
	defer close(finish)
	former := startServer(t, ca, "n1", func(context.Context, *pb.ForwardRequest) *pb.ForwardResponse {
		close(running)
		<-finish
		return &pb.ForwardResponse{Status: 204}
	})
	active := startServer(t, ca, "n2", answerOK)
	d := newDialer(t, ca, "n3")
	ended := begin(t.Context(), t, d, former.target, running)
	connect(t, d, active.target)
	if o := <-ended; o.err == nil || !o.sent {
		t.Errorf("got status %d, sent=%t, %v; want an error, and that it was sent", o.resp.GetStatus(), o.sent, o.err)
	}
	connect(t, d, active.target) // untouched
}

func TestRestartedInstanceGetsAConnectionOfItsOwn(t *testing.T) {
	ca := newCA(t)
	first := startServer(t, ca, "before", answerOK)
	d := newDialer(t, ca, "n3")
	connect(t, d, first.target)
	other := Target{Addr: first.target.Addr, InstanceID: "after"}
	if _, sent, err := d.Forward(t.Context(), other, &pb.ForwardRequest{}); err == nil || sent {
		t.Errorf("the old connection was used for the new instance: sent=%t, %v", sent, err)
	}
}

func TestUnusedConnectionIsClosed(t *testing.T) {
	ca := newCA(t)
	server := startServer(t, ca, "n1", answerOK)
	d := newDialer(t, ca, "n2", func(c *DialerConfig) { c.IdleTimeout = 50 * time.Millisecond })
	for range 2 { // it comes back when it is needed
		connect(t, d, server.target)
		eventually(t, "the idle connection is closed", func() bool {
			open, _ := server.conns.counts()
			return open == 0
		})
	}
}

func TestClosedDialerRefuses(t *testing.T) {
	ca := newCA(t)
	d := newDialer(t, ca, "n2")
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if _, sent, err := d.Forward(t.Context(), Target{Addr: "127.0.0.1:1"}, &pb.ForwardRequest{}); !errors.Is(err, ErrClosed) || sent {
		t.Errorf("Forward: got sent=%t, %v", sent, err)
	}
	if err := d.Attach(t.Context(), Target{Addr: "127.0.0.1:1"}, Member{}, func() {}); !errors.Is(err, ErrClosed) {
		t.Errorf("Attach: got %v", err)
	}
}

func TestConfigsAreChecked(t *testing.T) {
	if _, err := NewDialer(DialerConfig{}); err == nil {
		t.Error("an empty DialerConfig was taken")
	}
	ln, err := Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := Serve(t.Context(), ln, ServerConfig{}); err == nil {
		t.Error("an empty ServerConfig was taken")
	}
	if _, err := ln.Accept(); err == nil {
		t.Error("Serve has left its listener open")
	}
}
