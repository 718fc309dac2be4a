package zookeeper

import (
	"net"
	"testing"
	"time"
)

// A server that stopped reading holds up a write no longer than an answer.
func TestWriteThatIsNotRead(t *testing.T) {
	near, far := net.Pipe()
	defer func() { _ = far.Close() }() // a pipe's never fails
	conn := &promptConn{Conn: near, patience: 20 * time.Millisecond}
	if n, err := conn.Write([]byte("request")); err == nil {
		t.Errorf("write to a server that does not read: %d bytes and no error, want an error", n)
	}
	if conn.hungUp.Load() {
		t.Error("it was given up, and counts as closed by the server")
	}
}

// It is known who ended a connection.
func TestWhoHangsUp(t *testing.T) {
	for _, server := range []bool{true, false} {
		near, far := net.Pipe()
		conn := &promptConn{Conn: near, patience: time.Minute}
		end := conn.Close
		if server {
			end = far.Close
		}
		if err := end(); err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Read(make([]byte, 1)); err == nil {
			t.Error("read from a connection that is closed: no error")
		}
		if got := conn.hungUp.Load(); got != server {
			t.Errorf("closed by the server: %t, counts as that: %t", server, got)
		}
	}
}
