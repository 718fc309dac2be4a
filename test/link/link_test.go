package link_test

import (
	"bufio"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast/holdfast/test/link"
)

// echo is a server that sends every line back.
func echo(t *testing.T) (address string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	link.Echo(t, listener)
	return listener.Addr().String()
}

type dialer struct {
	net.Conn
	t      *testing.T
	answer *bufio.Reader
}

func newLink(t *testing.T) (*link.Link, *dialer) {
	t.Helper()
	l, err := link.New(echo(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	return l, dial(t, l)
}

func dial(t *testing.T, l *link.Link) *dialer {
	t.Helper()
	conn, err := net.Dial("tcp", l.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return &dialer{Conn: conn, t: t, answer: bufio.NewReader(conn)}
}

func (d *dialer) say(line string) {
	d.t.Helper()
	if _, err := io.WriteString(d, line+"\n"); err != nil {
		d.t.Errorf("say %s: %v", line, err)
	}
}

// hear returns the next line, or the error, which is os.ErrDeadlineExceeded if there is
// neither within patience.
func (d *dialer) hear(patience time.Duration) (string, error) {
	if err := d.SetReadDeadline(time.Now().Add(patience)); err != nil {
		d.t.Fatal(err)
	}
	line, err := d.answer.ReadString('\n')
	if err != nil {
		return "", err
	}
	return line[:len(line)-1], nil
}

const (
	soon   = 10 * time.Second
	awhile = 100 * time.Millisecond
)

func (d *dialer) expect(want string) {
	d.t.Helper()
	if got, err := d.hear(soon); err != nil || got != want {
		d.t.Errorf("heard %q, %v; want %q", got, err, want)
	}
}

func (d *dialer) expectSilence() {
	d.t.Helper()
	if got, err := d.hear(awhile); !errors.Is(err, os.ErrDeadlineExceeded) {
		d.t.Errorf("heard %q, %v; want nothing", got, err)
	}
}

func (d *dialer) expectReset() {
	d.t.Helper()
	if got, err := d.hear(soon); !errors.Is(err, syscall.ECONNRESET) {
		d.t.Errorf("heard %q, %v; want %v", got, err, syscall.ECONNRESET)
	}
}

func TestWhatACutLinkWasGivenArrivesLate(t *testing.T) {
	for name, cut := range map[string]link.Condition{
		"both ways":   link.Cut(),
		"requests":    {Up: link.Way{Stopped: true}},
		"the answers": {Down: link.Way{Stopped: true}},
	} {
		t.Run(name, func(t *testing.T) {
			l, d := newLink(t)
			d.say("before")
			d.expect("before")
			l.Set(link.Everybody, cut)
			d.say("during")
			d.expectSilence()
			other := dial(t, l)
			other.say("new")
			other.expectSilence()
			l.Set(link.Everybody, link.Condition{})
			d.expect("during")
			other.expect("new")
		})
	}
}

func TestResetReachesBothEnds(t *testing.T) {
	l, d := newLink(t)
	d.say("before")
	d.expect("before")
	l.Reset(link.Everybody)
	d.expectReset()
	again := dial(t, l)
	again.say("after")
	again.expect("after")
}

func TestAbandonedConnectionIsSilentUntilTheLinkIsSet(t *testing.T) {
	l, d := newLink(t)
	d.say("before")
	d.expect("before")
	l.Abandon(link.Everybody)
	d.say("lost")
	d.expectSilence()
	other := dial(t, l)
	other.say("new")
	other.expect("new")
	l.Set(link.Everybody, link.Condition{})
	d.expectReset()
	other.say("stays")
	other.expect("stays")
}

func TestDialerOfAnAbsentTargetIsReset(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = listener.Close()
	l, err := link.New(listener.Addr().String(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	// The reset may come before the dialer has seen its connection.
	conn, err := net.Dial("tcp", l.Addr())
	if err == nil {
		defer conn.Close()
		_, err = conn.Read(make([]byte, 1))
	}
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("dial and read: %v, want %v", err, syscall.ECONNRESET)
	}
}

func TestSlowAndNarrowLinksDelay(t *testing.T) {
	l, d := newLink(t)
	d.say("connected")
	d.expect("connected")
	for name, condition := range map[string]link.Condition{
		"slow":   link.Slow(awhile, awhile/2),
		"narrow": link.Narrow(100), // 11 bytes each way
	} {
		l.Set(link.Everybody, condition)
		began := time.Now()
		d.say("0123456789")
		if name == "narrow" {
			d.expect("0123456789")
			d.say("9876543210")
			d.expect("9876543210")
		} else {
			d.expect("0123456789")
		}
		if took := time.Since(began); took < awhile {
			t.Errorf("%s: the answer took %v, want at least %v", name, took, awhile)
		}
	}
}

// On a lossy link some of it is late, and all of it arrives.
func TestLossDelays(t *testing.T) {
	l, d := newLink(t)
	l.Set(link.Everybody, link.Condition{Up: link.Way{Loss: 0.3}})
	for range 100 { // 0.7^100 is never
		began := time.Now()
		d.say("0123456789")
		d.expect("0123456789")
		if time.Since(began) >= 2*awhile {
			return
		}
	}
	t.Errorf("nothing was late by %v", 2*awhile)
}

func TestOrderlyEndArrivesAfterTheData(t *testing.T) {
	_, d := newLink(t)
	d.say("last")
	if err := d.Conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	d.expect("last")
	if got, err := d.hear(soon); !errors.Is(err, io.EOF) {
		t.Errorf("heard %q, %v; want the end", got, err)
	}
}

// A condition may be for some of those who dial only.
func TestConditionForOne(t *testing.T) {
	names := map[string]string{}
	var mu sync.Mutex
	l, err := link.New(echo(t), func(a net.Addr) string {
		mu.Lock()
		defer mu.Unlock()
		return names[a.String()]
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	join := func(name string) *dialer {
		mu.Lock()
		defer mu.Unlock()
		d := dial(t, l)
		names[d.LocalAddr().String()] = name
		return d
	}
	one, other := join("one"), join("other")
	l.Set("one", link.Cut())
	one.say("late")
	other.say("at once")
	other.expect("at once")
	one.expectSilence()
	l.Set(link.Everybody, link.Condition{})
	one.expect("late")
	l.Reset("other")
	other.expectReset()
	one.say("stays")
	one.expect("stays")
}
