package zookeeper

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-zookeeper/zk"
)

// session is one connection to one server and the ZooKeeper session that was opened on
// it. Neither is ever resumed: when the connection is over, so is the session, and link
// makes another one. That costs nothing, because Holdfast has no ephemeral nodes, and
// takes away what the client library does with a session that it lost: it opens a new one
// by itself, and sends what was queued under the old one.
type session struct {
	zc      *zk.Conn
	conn    *promptConn
	address string
	root    string // the node that confirm names
	gone    chan struct{}
	lost    func()          // closes gone
	work    *sync.WaitGroup // its goroutines, the calls under way among them; Backend.Close waits for them

	// maxRequest is the longest request the server takes, in bytes.
	maxRequest atomic.Int64

	mu         sync.Mutex // guards what follows
	next       *confirmation
	confirming bool
	watches    map[string]*watch
	recognised string // key of the guard that was compared in this session
}

// dialer opens sessions.
type dialer struct {
	transport transport
	timeout   time.Duration // of a session, as asked for; the server has the last word
	maxBuffer int           // longest request, in bytes
	root      string
	scheme    string // to log in with; empty: not at all
	secret    []byte
	work      *sync.WaitGroup
}

// dial opens a session with the server at address.
func (d *dialer) dial(ctx context.Context, address string) (*session, error) {
	conn, err := d.transport.connect(ctx, address)
	if err != nil {
		return nil, err
	}
	s := &session{
		conn:    conn,
		address: address,
		root:    d.root,
		gone:    make(chan struct{}),
		work:    d.work,
		watches: make(map[string]*watch),
	}
	s.lost = sync.OnceFunc(func() { close(s.gone) })
	s.maxRequest.Store(int64(d.maxBuffer - requestReserve))
	established := make(chan struct{})
	establish := sync.OnceFunc(func() { close(established) })
	zc, events, err := zk.Connect([]string{address}, d.timeout,
		zk.WithDialer(handOver(conn)),
		zk.WithHostProvider(new(oneServer)),
		zk.WithLogger(silence{}),
		zk.WithLogInfo(false),
		zk.WithMaxConnBufferSize(d.maxBuffer+requestReserve),
		zk.WithEventCallback(func(e zk.Event) { // the channel of events drops some
			switch {
			case e.Type != zk.EventSession:
			case e.State == zk.StateHasSession:
				establish()
			case e.State == zk.StateDisconnected, e.State == zk.StateExpired:
				s.lost()
			}
		}))
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	s.zc = zc
	s.work.Go(func() {
		<-s.gone
		_ = conn.Close()
		zc.Close() // ends the library's goroutines, and the calls that wait in it
	})
	s.work.Go(func() {
		for range events { // closed when the library's goroutines have ended
		}
	})
	if err := s.login(ctx, established, d.scheme, d.secret); err != nil {
		s.lost()
		return nil, err
	}
	return s, nil
}

// errNoSession: the server accepted the connection and no session came of it.
var errNoSession = errors.New("the server closes the connection, or is silent, instead of opening a session; is it part of a majority, and address its client port?")

func (s *session) login(ctx context.Context, established <-chan struct{}, scheme string, secret []byte) error {
	select {
	case <-established:
	case <-s.gone:
		return errNoSession
	case <-ctx.Done():
		return ctx.Err()
	}
	if scheme == "" {
		return nil
	}
	_, err := call(ctx, s, func(zc *zk.Conn) (struct{}, error) { return struct{}{}, zc.AddAuth(scheme, secret) })
	if err != nil {
		return fmt.Errorf("log in with auth_info, scheme %q: %w", scheme, err)
	}
	return nil
}

// close ends the session in an orderly way.
func (s *session) close() {
	if s.alive() {
		s.zc.Close()
	}
	s.lost()
}

// note ends the session if err, of the library, is not what a server says about a
// request: the connection is over then, or not to be relied on.
func (s *session) note(err error) {
	if err != nil && !serverSays(err) {
		s.lost()
	}
}

func (s *session) recognises(key string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.recognised == key
}

func (s *session) recognise(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.recognised = key
}

// alive reports whether the connection is not known to be over.
func (s *session) alive() bool {
	select {
	case <-s.gone:
		return false
	default:
		return true
	}
}

// call has f make one request, in a goroutine of its own, because the library knows no
// contexts: it returns when ctx ends, and f when the request is answered or the
// connection is over. f must use nothing that the caller may change after that.
func call[T any](ctx context.Context, s *session, f func(*zk.Conn) (T, error)) (T, error) {
	type answer struct {
		value T
		err   error
	}
	answered := make(chan answer, 1)
	s.work.Go(func() {
		value, err := f(s.zc)
		s.note(err)
		answered <- answer{value, err}
	})
	select {
	case a := <-answered:
		return a.value, a.err
	case <-ctx.Done():
		var none T
		return none, ctx.Err()
	}
}

// handOver returns a dialer that gives conn to the library, once.
func handOver(conn net.Conn) zk.Dialer {
	var given atomic.Bool
	return func(string, string, time.Duration) (net.Conn, error) {
		if given.Swap(true) {
			return nil, net.ErrClosed
		}
		return conn, nil
	}
}

// oneServer names the one server there is to connect to. When the library asks for the
// second time, the connection is over: it is told to start all over, which makes it
// fail what is queued and not yet sent, and pause.
type oneServer struct {
	address string
	asked   bool
}

func (p *oneServer) Init(servers []string) error {
	p.address = servers[0]
	return nil
}

func (p *oneServer) Len() int { return 1 }

func (p *oneServer) Next() (server string, retryStart bool) {
	again := p.asked
	p.asked = true
	return p.address, again
}

func (p *oneServer) Connected() {}

// silence drops the library's messages: all they say comes back as errors.
type silence struct{}

func (silence) Printf(string, ...any) {}
