package zookeeper

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// transport makes connections to servers.
type transport struct {
	tls      *tls.Config   // nil: without
	patience time.Duration // how long a server may be silent that owes an answer
}

// connect connects to address, with TLS if configured.
func (t *transport) connect(ctx context.Context, address string) (*promptConn, error) {
	ctx, cancel := context.WithTimeout(ctx, t.patience)
	defer cancel()
	conn, err := (&net.Dialer{KeepAlive: 15 * time.Second}).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	if t.tls != nil {
		conf := t.tls.Clone()
		conf.ServerName, _, _ = net.SplitHostPort(address) // validated with the configuration
		secure := tls.Client(conn, conf)
		if err := secure.HandshakeContext(ctx); err != nil {
			return nil, errors.Join(fmt.Errorf("start TLS: %w", err), conn.Close())
		}
		conn = secure
	}
	return &promptConn{Conn: conn, patience: t.patience}, nil
}

// promptConn closes itself when something was written and nothing is read for as long as
// patience. In ZooKeeper's protocol everything a client writes has an answer, so a server
// that is frozen, or cut off, is noticed by the first request or ping that it does not
// answer, also while a connection is being set up: the client library would wait for
// several times the session timeout then.
type promptConn struct {
	net.Conn
	patience time.Duration
	hungUp   atomic.Bool // the server has closed it, and before this side did

	mu    sync.Mutex  // guards timer
	timer *time.Timer // runs while an answer is due; else nil
}

// Write writes p. From now on an answer is due, if none was before: not only when p is
// written, which a server that reads nothing holds up as well.
func (c *promptConn) Write(p []byte) (int, error) {
	c.start()
	n, err := c.Conn.Write(p)
	c.note(err)
	return n, err
}

// Read reads into p. The server is alive.
func (c *promptConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 {
		c.stop()
	}
	c.note(err)
	return n, err
}

// note looks at how the connection ended.
func (c *promptConn) note(err error) {
	for _, end := range []error{io.EOF, io.ErrUnexpectedEOF, syscall.ECONNRESET, syscall.EPIPE} {
		if errors.Is(err, end) {
			c.hungUp.Store(true)
		}
	}
}

// Close closes the connection.
func (c *promptConn) Close() error {
	err := c.Conn.Close()
	c.stop()
	return err
}

func (c *promptConn) start() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.timer == nil {
		c.timer = time.AfterFunc(c.patience, func() { _ = c.Conn.Close() })
	}
}

func (c *promptConn) stop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.timer != nil {
		c.timer.Stop()
		c.timer = nil
	}
}
