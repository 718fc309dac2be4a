package zookeeper

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/go-zookeeper/zk"

	"github.com/holdfast/holdfast/sdk/storage"
)

// suspiciousSize is well below every jute.maxbuffer that one could run a server with.
const suspiciousSize = 4 << 10

// refusedBySize finds out why a connection was lost on which a request of size bytes had
// been sent: a server closes it, without a word, when the request is over its
// jute.maxbuffer, which may be lower than the option says. So it is shown another of that
// size, one that changes nothing. If it refuses that too, and again after it has answered a
// small one, the first was not applied either, and the answer is a TooLargeError. A server
// that is silent, stops or can not be reached has refused nothing: the answer is nil then.
func (b *Backend) refusedBySize(ctx context.Context, s *session, size int) error {
	if size < suspiciousSize || s.alive() || !s.conn.hungUp.Load() {
		return nil
	}
	for _, probe := range []struct {
		size  int
		taken bool // if it is the size that the server refuses
	}{{size, false}, {0, true}, {size, false}} {
		if taken, err := b.takes(ctx, s.address, probe.size); err != nil || taken != probe.taken {
			return nil //nolint:nilerr // not known: then it is not said
		}
	}
	limit := b.measure(ctx, s.address, size)
	if next, err := b.link.session(ctx); err == nil && next.maxRequest.Load() > int64(limit) {
		next.maxRequest.Store(int64(limit)) // for as long as this session lasts: the server may be told otherwise
	}
	return fmt.Errorf("zookeeper at %s closes the connection on a request of this size; set jute_maxbuffer to the jute.maxbuffer of the servers: %w",
		s.address, &storage.TooLargeError{What: "request to zookeeper", Unit: "bytes", Size: size, Limit: limit})
}

// measure finds the longest request that the server at address takes, a 64th less at
// most, or as near as it gets before ctx ends. It is shorter than refused.
func (b *Backend) measure(ctx context.Context, address string, refused int) int {
	limit, over := suspiciousSize, refused
	for over-limit > over/64 {
		middle := limit + (over-limit)/2
		taken, err := b.takes(ctx, address, middle)
		if err != nil {
			return refused - 1
		}
		if taken {
			limit = middle
		} else {
			over = middle
		}
	}
	return limit
}

// takes reports whether the server at address reads a request of size bytes, or closes the
// connection on it. The error means that it is not known.
func (b *Backend) takes(ctx context.Context, address string, size int) (bool, error) {
	s, err := b.link.dialer.dial(ctx, address)
	if err != nil {
		return false, err
	}
	defer s.close()
	path := "/" + string(valueMark) + strings.Repeat("x", size)
	_, err = call(ctx, s, func(zc *zk.Conn) (bool, error) {
		exists, _, err := zc.Exists(path)
		return exists, err
	})
	switch {
	case err == nil || serverSays(err):
		return true, nil
	case ctx.Err() != nil:
		return false, ctx.Err()
	case errors.Is(err, zk.ErrNoServer) || !s.conn.hungUp.Load(): // it was not sent, or not answered
		return false, err
	}
	return false, nil
}
