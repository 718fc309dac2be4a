package cluster

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"testing"

	"golang.org/x/net/http2"

	pb "github.com/holdfast/holdfast/host/cluster/proto/holdfast/cluster/v1alpha"
)

// answerHeaders is a node of the cluster that speaks HTTP/2 just far enough to see one
// call's headers. It then stops listening, lets last have the connection, and closes it.
func answerHeaders(ln net.Listener, config *tls.Config, last func(*http2.Framer) error) error {
	raw, err := ln.Accept()
	if err != nil {
		return err
	}
	conn := tls.Server(raw, config)
	defer func() { _ = conn.Close() }()
	if _, err := io.ReadFull(conn, make([]byte, len(http2.ClientPreface))); err != nil {
		return fmt.Errorf("read preface: %w", err)
	}
	framer := http2.NewFramer(conn, conn)
	if err := framer.WriteSettings(); err != nil {
		return err
	}
	for {
		frame, err := framer.ReadFrame()
		if err != nil {
			return fmt.Errorf("read frame: %w", err)
		}
		if frame.Header().Type == http2.FrameHeaders {
			return errors.Join(ln.Close(), last(framer))
		}
	}
}

// Whether the headers have left is not all: the node may have said that it took no notice of them.
func TestSentAfterHeadersDependsOnThePeersWord(t *testing.T) {
	for name, tc := range map[string]struct {
		last     func(*http2.Framer) error
		wantSent bool
	}{
		"connection lost": {func(*http2.Framer) error { return nil }, true},
		"stopping, stream not taken": {
			func(f *http2.Framer) error { return f.WriteGoAway(0, http2.ErrCodeNo, nil) }, false,
		},
		"stopping, stream taken": {
			func(f *http2.Framer) error { return f.WriteGoAway(1, http2.ErrCodeNo, nil) }, true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			ca := newCA(t)
			cert, err := ca.Issue("active")
			if err != nil {
				t.Fatal(err)
			}
			ln, err := Listen(t.Context(), "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			served := make(chan error, 1)
			go func() { served <- answerHeaders(ln, ServerTLS(ca, cert), tc.last) }()

			target := Target{Addr: ln.Addr().String(), InstanceID: "active"}
			_, sent, err := newDialer(t, ca, "standby").Forward(t.Context(), target, &pb.ForwardRequest{})
			if err == nil || sent != tc.wantSent {
				t.Errorf("got sent=%t, %v; want sent=%t and an error", sent, err, tc.wantSent)
			}
			if err := <-served; err != nil {
				t.Error(err)
			}
		})
	}
}
