package link

import (
	"context"
	"io"
	"net"
	"sync"
	"testing"
)

// Relay sends every connection of listener on to target, host:port, until t ends. It does
// not disturb: it is for what a Link can not do, to end TLS or to count. What comes back is
// also written to answers, by several goroutines at once.
func Relay(t testing.TB, listener net.Listener, target string, answers io.Writer) {
	t.Helper()
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	serve(t, listener, stop, func(in net.Conn, work *sync.WaitGroup) {
		out, err := new(net.Dialer).DialContext(ctx, "tcp", target)
		if err != nil {
			_ = in.Close()
			return
		}
		end := context.AfterFunc(ctx, func() { _, _ = in.Close(), out.Close() })
		carry := func(to io.Writer, from io.Reader) {
			_, _ = io.Copy(to, from) // until either end is gone
			_, _ = in.Close(), out.Close()
			end()
		}
		work.Go(func() { carry(out, in) })
		carry(io.MultiWriter(in, answers), out)
	})
}

// Echo sends everything that comes in on connections of listener back, until t ends.
func Echo(t testing.TB, listener net.Listener) {
	t.Helper()
	serve(t, listener, func() {}, func(conn net.Conn, _ *sync.WaitGroup) {
		_, _ = io.Copy(conn, conn) // until the other end is gone
		_ = conn.Close()
	})
}

// serve has each connection of listener handled until t ends; stop ends what is under way.
func serve(t testing.TB, listener net.Listener, stop func(), handle func(net.Conn, *sync.WaitGroup)) {
	t.Helper()
	var work sync.WaitGroup
	t.Cleanup(func() {
		stop()
		_ = listener.Close()
		work.Wait()
	})
	work.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return // closed
			}
			work.Go(func() { handle(conn, &work) })
		}
	})
}
