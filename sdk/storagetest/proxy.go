package storagetest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// Proxy passes the bytes of connections on to a server, and breaks them on demand: it is what a
// [Link] is made of. In HTTP/2, which it recognises, a message is a frame; otherwise it is what one
// read returns, which mostly is what one write sent. It is safe for concurrent use.
type Proxy struct {
	network, target string
	listener        net.Listener
	work            sync.WaitGroup // accepting, and both directions of each connection
	stop            context.CancelFunc

	mu      sync.Mutex // guards the following
	state   proxyState
	changed chan struct{} // closed and replaced when state changes
	open    map[net.Conn]struct{}
}

// proxyState is what a Proxy does to what passes.
type proxyState struct {
	cut, held bool
	delay     time.Duration
	fused     bool // left is counted, in direction
	direction Direction
	left      int
}

// NewProxy listens on address of network, tcp or unix, until Close, and passes connections on to
// target. TCP port 0 means a free one.
func NewProxy(ctx context.Context, network, address, target string) (*Proxy, error) {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, network, address)
	if err != nil {
		return nil, fmt.Errorf("listen for the proxy: %w", err)
	}
	life, stop := context.WithCancel(context.WithoutCancel(ctx))
	p := &Proxy{
		network: network, target: target, listener: listener, stop: stop,
		changed: make(chan struct{}), open: make(map[net.Conn]struct{}),
	}
	p.work.Go(func() { p.accept(life) })
	return p, nil
}

// Address is where it listens.
func (p *Proxy) Address() string { return p.listener.Addr().String() }

// Cut ends all connections; each new one is ended when it is made.
func (p *Proxy) Cut() { p.set(func(s *proxyState) { *s = proxyState{cut: true} }) }

// CutAfter lets as many more messages pass in direction, of all connections together, and
// cuts when there is another. Whatever passes in the other direction passes.
func (p *Proxy) CutAfter(direction Direction, messages int) {
	p.set(func(s *proxyState) {
		*s = proxyState{fused: true, direction: direction, left: messages}
	})
}

// Hold lets nothing pass and ends no connection.
func (p *Proxy) Hold() { p.set(func(s *proxyState) { *s = proxyState{held: true} }) }

// Delay makes what passes arrive later by d.
func (p *Proxy) Delay(d time.Duration) { p.set(func(s *proxyState) { *s = proxyState{delay: d} }) }

// Heal undoes all of it. Connections that were cut have to be made again.
func (p *Proxy) Heal() { p.set(func(s *proxyState) { *s = proxyState{} }) }

// IsCut reports whether it is cut, be it because the messages of CutAfter have passed.
func (p *Proxy) IsCut() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.state.cut
}

// Close ends all connections and frees the address.
func (p *Proxy) Close() error {
	p.stop()
	err := p.listener.Close()
	p.Cut()
	p.work.Wait()
	if err != nil {
		return fmt.Errorf("close the proxy: %w", err)
	}
	return nil
}

func (p *Proxy) set(change func(*proxyState)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change(&p.state)
	p.apply()
}

// apply ends the connections of a cut proxy and tells those who wait. p.mu is held.
func (p *Proxy) apply() {
	if p.state.cut {
		for conn := range p.open {
			_ = conn.Close() // who reads or writes it learns of it
		}
		clear(p.open)
	}
	close(p.changed)
	p.changed = make(chan struct{})
}

func (p *Proxy) accept(ctx context.Context) {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return // it is closed
		}
		p.work.Go(func() { p.connect(ctx, client) })
	}
}

// connect makes the second half of a connection and passes on what comes.
func (p *Proxy) connect(ctx context.Context, client net.Conn) {
	var dialer net.Dialer
	server, err := dialer.DialContext(ctx, p.network, p.target)
	if err != nil {
		_ = client.Close() // as if we were the server
		return
	}
	if !p.add(client, server) {
		return
	}
	kind := make(chan bool, 1) // whether it is HTTP/2, which its beginning tells
	var both sync.WaitGroup
	both.Go(func() { p.pass(ctx, ToStore, server, client, kind) })
	both.Go(func() { p.pass(ctx, FromStore, client, server, kind) })
	both.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.open, client)
	delete(p.open, server)
}

// add makes the ends known to Cut, or ends them.
func (p *Proxy) add(ends ...net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, conn := range ends {
		if p.state.cut {
			_ = conn.Close() // it was never open
			continue
		}
		p.open[conn] = struct{}{}
	}
	return !p.state.cut
}

// errCut: nothing passes any more.
var errCut = errors.New("the link is cut")

// admit waits while the way is held, and then takes one message off the count. It returns how long the
// message is under way, or errCut.
func (p *Proxy) admit(ctx context.Context, direction Direction) (time.Duration, error) {
	for {
		p.mu.Lock()
		if p.state.fused && p.state.direction == direction {
			if p.state.left--; p.state.left < 0 {
				p.state = proxyState{cut: true}
				p.apply()
			}
		}
		s, changed := p.state, p.changed
		p.mu.Unlock()
		switch {
		case s.cut:
			return 0, errCut
		case !s.held:
			return s.delay, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return 0, errCut
		}
	}
}
