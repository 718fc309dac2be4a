package plugin

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/holdfast/holdfast/sdk/wire"
)

// attachment is a plugin that somebody else runs. It is a peer.
type attachment struct {
	target string // unix:///path
	conn   *grpc.ClientConn
}

// attach prepares a connection to the plugin at address, unix:///path. The first call
// makes it. Only unix sockets will do, for the connection is neither encrypted nor
// authenticated but by the permissions of the file.
func attach(address string) (*attachment, error) {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "unix" || u.Host != "" || !filepath.IsAbs(u.Path) {
		return nil, fmt.Errorf("attach to plugin: %q is not an address: want unix:///path/to/socket", address)
	}
	options := append(wire.DialOptions(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	conn, err := grpc.NewClient("unix://"+u.Path, options...)
	if err != nil {
		return nil, fmt.Errorf("attach to plugin at %s: %w", address, err)
	}
	return &attachment{target: address, conn: conn}, nil
}

func (a *attachment) connection() *grpc.ClientConn { return a.conn }

// gone never happens: the end of the connection says it all.
func (a *attachment) gone() <-chan struct{} { return nil }

// stopped is not known of a process that is not a child of this one.
func (a *attachment) stopped() <-chan struct{} { return nil }

func (a *attachment) where() (path string, pid int) { return a.target, 0 }

func (a *attachment) address() string { return a.target }

func (a *attachment) lastWill() bool { return false }

func (a *attachment) explain(err error) error { return err }

func (a *attachment) quoting(err error) error { return err }

// checksum is not known of a program that somebody else has started.
func (a *attachment) checksum(context.Context) (string, error) {
	return "", errors.New("the program is not known: somebody else has started it")
}

func (a *attachment) stop(time.Duration) {
	_ = a.conn.Close() // fails only if it is closed
}
