// Package link is a TCP connection between two programs that a test can disturb: it is
// cut in one direction or both, slow, narrow, reset, or dead at one end only.
//
// What a cut link was given is not lost: it arrives when the link is whole again, as it
// does on a network, where TCP sends it anew. That late arrival is what systems that
// rely on timeouts get wrong. (A proxy that drops bytes out of a stream, as toxiproxy
// does while its toxic "timeout" is on, can only go on by closing the connection.)
package link

import (
	"context"
	"fmt"
	"net"
	"sync"
	"time"
)

// Way is the condition of one direction of a link.
type Way struct {
	Stopped bool          // nothing arrives until it no longer is
	Latency time.Duration // until what was sent arrives
	Jitter  time.Duration // at most this much is added to Latency, at random
	Rate    int           // bytes a second; 0 = unlimited
	Loss    float64       // share of the segments that a network would lose; below 1
}

// Condition of a link. The zero value is a link without trouble.
type Condition struct {
	Up   Way // from who dials to the target; a connection is made only while it is not stopped
	Down Way // from the target back
}

// Cut is the condition of a link that is interrupted in both directions.
func Cut() Condition { return Condition{Up: Way{Stopped: true}, Down: Way{Stopped: true}} }

// Slow is the condition of a link on which everything takes latency, and up to jitter
// longer, in each direction.
func Slow(latency, jitter time.Duration) Condition {
	w := Way{Latency: latency, Jitter: jitter}
	return Condition{Up: w, Down: w}
}

// Lossy is the condition of a link that loses a share of what is sent in each direction. As
// TCP sends it anew, it is late by 200 ms, which is Linux's shortest retransmission timeout,
// twice as late if it is lost again, and so on; and so is all that follows.
func Lossy(share float64) Condition { return Condition{Up: Way{Loss: share}, Down: Way{Loss: share}} }

// Narrow is the condition of a link that takes rate bytes a second in each direction.
func Narrow(rate int) Condition { return Condition{Up: Way{Rate: rate}, Down: Way{Rate: rate}} }

// Link forwards connections to its address on to the target. It is safe for concurrent use.
type Link struct {
	listener net.Listener
	target   string
	who      func(net.Addr) string
	stop     context.CancelFunc
	tasks    sync.WaitGroup

	mu         sync.Mutex
	conditions map[string]Condition // guarded by mu; by who dialled; absent: no trouble
	changed    chan struct{}        // guarded by mu; closed and replaced when conditions change
	pairs      map[*pair]bool       // guarded by mu; true: abandoned
}

// Everybody means all who dial a link, in Set, Reset and Abandon.
const Everybody = ""

// New returns a link to target, host:port, that ends with Close. Nothing needs to listen
// there yet. who says who dials from an address, where that matters; else it is nil.
func New(target string, who func(net.Addr) string) (*Link, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("open a link to %s: %w", target, err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	if who == nil {
		who = func(net.Addr) string { return Everybody }
	}
	l := &Link{
		listener: listener, target: target, who: who, stop: cancel,
		conditions: map[string]Condition{}, changed: make(chan struct{}), pairs: map[*pair]bool{},
	}
	l.tasks.Go(func() { l.accept(ctx) })
	return l, nil
}

// Addr is the address to dial instead of the target's.
func (l *Link) Addr() string { return l.listener.Addr().String() }

// Close ends the link and its connections.
func (l *Link) Close() {
	l.stop()
	_ = l.listener.Close()
	l.Reset(Everybody)
	l.tasks.Wait()
}

// Set changes the condition of the link for those who are called who, also of the connections
// that exist. Set for Everybody replaces what was set for some. Connections that Abandon left
// half open are reset.
func (l *Link) Set(who string, c Condition) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if who == Everybody {
		clear(l.conditions)
	}
	l.conditions[who] = c
	close(l.changed)
	l.changed = make(chan struct{})
	for p, abandoned := range l.pairs {
		if abandoned && p.is(who) {
			p.reset()
		}
	}
}

// Reset ends all connections of who, with a reset to both ends.
func (l *Link) Reset(who string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for p := range l.pairs {
		if p.is(who) {
			p.reset()
		}
	}
}

// Abandon leaves the connections of who that exist half open until Set is called: the target's
// ends are reset, and those who dialled hear nothing, as when a machine loses its power.
// New connections are made.
func (l *Link) Abandon(who string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for p := range l.pairs {
		if p.is(who) {
			l.pairs[p] = true
			p.abandon()
		}
	}
}

// state returns the condition for who, and a channel that is closed when it may have changed.
func (l *Link) state(who string) (Condition, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c, ok := l.conditions[who]
	if !ok {
		c = l.conditions[Everybody]
	}
	return c, l.changed
}

func (l *Link) accept(ctx context.Context) {
	for {
		conn, err := l.listener.Accept()
		if err != nil {
			return // closed
		}
		l.tasks.Go(func() { l.connect(ctx, conn.(*net.TCPConn)) })
	}
}

// connect forwards one connection until it ends.
func (l *Link) connect(ctx context.Context, dialer *net.TCPConn) {
	p := newPair(dialer, l.who(dialer.RemoteAddr()))
	if !l.add(ctx, p) {
		p.reset()
		return
	}
	defer l.remove(p)
	if !l.hold(p, up, time.Time{}) || !p.dial(ctx, l.target) {
		p.reset()
		return
	}
	l.forward(p)
	p.close()
}

// add makes the pair known to Reset, unless the link is closed.
func (l *Link) add(ctx context.Context, p *pair) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if ctx.Err() != nil {
		return false
	}
	l.pairs[p] = false
	return true
}

func (l *Link) remove(p *pair) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.pairs, p)
}

// hold returns at due, or later, when the way is open; false if the pair ends before.
func (l *Link) hold(p *pair, way func(Condition) Way, due time.Time) bool {
	for {
		condition, changed := l.state(p.who)
		wait := time.Until(due)
		if !way(condition).Stopped && wait <= 0 {
			return true
		}
		if !p.wait(changed, wait) {
			return false
		}
	}
}

func up(c Condition) Way   { return c.Up }
func down(c Condition) Way { return c.Down }
