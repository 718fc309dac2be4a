package link

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

const (
	pieceBytes  = 16 << 10
	queueLength = 64 // pieces under way in one direction: what a network's buffers hold
	dialTimeout = 5 * time.Second

	retransmission    = 200 * time.Millisecond // see Lossy
	maxRetransmission = 10 * time.Second
)

// pair is one connection through a link: from who dialled, and on to the target.
type pair struct {
	dialer *net.TCPConn
	who    string // dialled

	once      sync.Once
	done      chan struct{} // closed by reset
	abandoned atomic.Bool

	mu     sync.Mutex
	target *net.TCPConn // guarded by mu; nil until it is dialled
}

func newPair(dialer *net.TCPConn, who string) *pair {
	return &pair{dialer: dialer, who: who, done: make(chan struct{})}
}

// is reports whether the pair is among those that who means.
func (p *pair) is(who string) bool { return who == Everybody || p.who == who }

// dial connects to the target. It returns false if that can not be, or is too late.
func (p *pair) dial(ctx context.Context, target string) bool {
	d := net.Dialer{Timeout: dialTimeout}
	conn, err := d.DialContext(ctx, "tcp", target)
	if err != nil {
		return false
	}
	p.mu.Lock()
	p.target = conn.(*net.TCPConn)
	p.mu.Unlock()
	select {
	case <-p.done: // reset has not seen it
		kill(p.target)
		return false
	default:
		return true
	}
}

// reset ends both connections at once.
func (p *pair) reset() {
	p.once.Do(func() { close(p.done) })
	kill(p.dialer)
	p.killTarget()
}

// close ends what forward has left: two streams that have ended.
func (p *pair) close() {
	p.once.Do(func() { close(p.done) })
	_ = p.dialer.Close()
	_ = p.target.Close()
}

// abandon ends the connection to the target, and says nothing of it to the dialer.
func (p *pair) abandon() {
	p.abandoned.Store(true)
	p.killTarget()
}

func (p *pair) killTarget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.target != nil {
		kill(p.target)
	}
}

// kill makes the other end see a reset. A connection that is closed already stays so.
func kill(c *net.TCPConn) {
	_ = c.SetLinger(0)
	_ = c.Close()
}

// wait returns when changed is closed or, if it is positive, after d; false if the pair
// was reset.
func (p *pair) wait(changed <-chan struct{}, d time.Duration) bool {
	var timeout <-chan time.Time
	if d > 0 {
		timer := time.NewTimer(d)
		defer timer.Stop()
		timeout = timer.C
	}
	select {
	case <-changed:
		return true
	case <-timeout:
		return true
	case <-p.done:
		return false
	}
}

// piece is what was read at once, or how the stream ended.
type piece struct {
	data []byte
	due  time.Time
	end  error // io.EOF: in an orderly way
}

// forward copies both ways and returns when both streams have ended, or the pair was reset.
func (l *Link) forward(p *pair) {
	var ways sync.WaitGroup
	ways.Go(func() { l.copy(p, p.target, p.dialer, up) })
	ways.Go(func() { l.copy(p, p.dialer, p.target, down) })
	ways.Wait()
	if p.abandoned.Load() {
		<-p.done
	}
}

func (l *Link) copy(p *pair, to, from *net.TCPConn, way func(Condition) Way) {
	queue := make(chan piece, queueLength)
	var reader sync.WaitGroup
	defer reader.Wait()
	reader.Go(func() {
		defer close(queue)
		l.read(p, queue, from, way)
	})
	for next := range queue {
		if !l.hold(p, way, next.due) || !l.deliver(p, to, next, way) {
			p.giveUp()
			for range queue { // until the reader has noticed
			}
			return
		}
	}
}

// giveUp ends the pair after an error, but for an abandoned one: its dialer hears nothing.
func (p *pair) giveUp() {
	if !p.abandoned.Load() {
		p.reset()
	}
}

// read queues what comes, with the time at which it arrives.
func (l *Link) read(p *pair, queue chan<- piece, from *net.TCPConn, way func(Condition) Way) {
	var last time.Time
	for {
		buffer := make([]byte, pieceBytes)
		n, err := from.Read(buffer)
		condition, _ := l.state(p.who)
		w := way(condition)
		due := time.Now().Add(w.Latency)
		if w.Jitter > 0 {
			due = due.Add(rand.N(w.Jitter))
		}
		for again := retransmission; rand.Float64() < w.Loss && again < maxRetransmission; again *= 2 {
			due = due.Add(again)
		}
		if due.Before(last) {
			due = last // a stream keeps its order
		}
		last = due
		if n > 0 && !p.queue(queue, piece{data: buffer[:n], due: due}) {
			return
		}
		if err != nil {
			p.queue(queue, piece{due: due, end: err})
			return
		}
	}
}

func (p *pair) queue(queue chan<- piece, next piece) bool {
	select {
	case queue <- next:
		return true
	case <-p.done:
		return false
	}
}

// deliver writes a piece, at the rate of the link, or ends the stream as it ended at the
// other side. It returns false if nothing more can be delivered.
func (l *Link) deliver(p *pair, to *net.TCPConn, next piece, way func(Condition) Way) bool {
	if next.end != nil {
		return errors.Is(next.end, io.EOF) && to.CloseWrite() == nil
	}
	if _, err := to.Write(next.data); err != nil {
		return false
	}
	condition, _ := l.state(p.who)
	if rate := way(condition).Rate; rate > 0 {
		return p.wait(nil, time.Duration(len(next.data))*time.Second/time.Duration(rate))
	}
	return true
}
