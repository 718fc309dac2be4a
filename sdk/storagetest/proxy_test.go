package storagetest_test

import (
	"bufio"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/holdfast/holdfast/sdk/storagetest"
	"github.com/holdfast/holdfast/test/link"
)

// echo serves a unix socket that sends every line back.
func echo(t *testing.T) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "echo")
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	link.Echo(t, listener)
	return path
}

// proxied is a proxy before an echo, and a line that was sent and came back.
func proxied(t *testing.T) (p *storagetest.Proxy, say func(line string) error, dial func()) {
	t.Helper()
	p, err := storagetest.NewProxy(t.Context(), "unix", filepath.Join(t.TempDir(), "p"), echo(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	var conn net.Conn
	var lines *bufio.Reader
	dial = func() {
		if conn, err = net.Dial("unix", p.Address()); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		lines = bufio.NewReader(conn)
	}
	say = func(line string) error {
		if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
			return err
		}
		if _, err := io.WriteString(conn, line+"\n"); err != nil {
			return err
		}
		got, err := lines.ReadString('\n')
		if err == nil && strings.TrimSuffix(got, "\n") != line {
			t.Errorf("sent %q, and %q came back", line, got)
		}
		return err
	}
	dial()
	return p, say, dial
}

func TestProxyCuts(t *testing.T) {
	p, say, dial := proxied(t)
	if err := say("through"); err != nil {
		t.Fatal(err)
	}
	p.Cut()
	if err := say("lost"); err == nil || !p.IsCut() {
		t.Errorf("a line passed a proxy that is cut: %v", p.IsCut())
	}
	dial()
	if err := say("lost too"); err == nil {
		t.Error("a line passed a proxy that is cut over a new connection")
	}
	p.Heal()
	dial()
	if err := say("through again"); err != nil || p.IsCut() {
		t.Errorf("after it was mended: %v, cut %v", err, p.IsCut())
	}
}

func TestProxyCutsAfterMessages(t *testing.T) {
	for _, direction := range []storagetest.Direction{storagetest.ToStore, storagetest.FromStore} {
		p, say, _ := proxied(t)
		p.CutAfter(direction, 2)
		for i := range 3 {
			if err := say("line"); (err == nil) != (i < 2) {
				t.Errorf("direction %d, line %d: got %v, want two to pass", direction, i, err)
			}
		}
		if !p.IsCut() {
			t.Errorf("direction %d: not cut after two lines", direction)
		}
	}
}

func TestProxyHoldsAndDelays(t *testing.T) {
	p, say, _ := proxied(t)
	p.Hold()
	done := make(chan error, 1)
	go func() { done <- say("held") }() // ends when it is mended
	select {
	case err := <-done:
		t.Fatalf("a line passed a proxy that holds: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	p.Heal()
	if err := <-done; err != nil {
		t.Errorf("after it was mended: %v", err)
	}
	const delay = 40 * time.Millisecond
	p.Delay(delay)
	began := time.Now()
	if err := say("slow"); err != nil || time.Since(began) < 2*delay {
		t.Errorf("there and back in %v (%v), want %v at least", time.Since(began), err, 2*delay)
	}
}
