package etcd

import (
	"context"
	"errors"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// List reads keys at one revision, so that one call is linearizable. Of a directory it
// sees some keys only and goes on behind it, so its cost depends on the names it returns:
// not on what lies deeper and not on the names that follow. Names that something else
// has put below the path are returned too.
func (b *Backend) List(ctx context.Context, prefix, after string, limit int) ([]string, error) {
	for {
		names, err := b.list(ctx, newScan(b.name(prefix), after, limit))
		if !errors.Is(err, rpctypes.ErrCompacted) {
			return names, err
		}
		// Meanwhile the revision became older than what others want kept: take a new one.
	}
}

func (b *Backend) list(ctx context.Context, s *scan) ([]string, error) {
	revision, err := b.revision(ctx, s.dir)
	for err == nil && !s.done {
		var streamed bool
		err = b.ask(ctx, func(ctx context.Context, client *clientv3.Client) error {
			if streamed = !b.paged.Load(); streamed {
				return s.stream(ctx, client, revision)
			}
			return s.page(ctx, client, revision)
		})
		if streamed && status.Code(err) == codes.Unimplemented { // a server before 3.7
			b.paged.Store(true)
			err = nil
		}
	}
	if err != nil {
		return nil, err
	}
	return s.names, nil
}

// revision returns the store's newest revision. The key is one that the user may read.
func (b *Backend) revision(ctx context.Context, key string) (int64, error) {
	var reply *clientv3.GetResponse
	err := b.ask(ctx, func(ctx context.Context, client *clientv3.Client) (err error) {
		reply, err = client.Get(ctx, key, clientv3.WithKeysOnly())
		return err
	})
	if err != nil {
		return 0, err
	}
	return reply.Header.Revision, nil
}

// stream reads keys as long as they give names, or all. The server sends them in chunks
// that grow; it is never told how many are wanted, because then it would also count how
// many there are, which takes time by the size of the directory.
func (s *scan) stream(ctx context.Context, client *clientv3.Client, revision int64) error {
	ctx, cancel := context.WithCancel(ctx)
	chunks, err := client.GetStream(ctx, s.from, clientv3.WithRange(s.end), clientv3.WithRev(revision), clientv3.WithKeysOnly())
	if err != nil {
		cancel()
		return err
	}
	defer func() {
		cancel()
		for range chunks { // until the client has ended it
		}
	}()
	for chunk := range chunks {
		if err := chunk.Err(); err != nil {
			return err
		}
		found := s.take(chunk.Kvs)
		if chunk.Header != nil && !chunk.More { // the last one
			s.done = true
		}
		if s.done || found == 0 { // deep in a directory: go on behind it
			return nil
		}
	}
	return nil
}

// How many keys page asks for.
const (
	maxPage = 1000
	minPage = 32
)

// page reads some keys, for servers that have no streams.
func (s *scan) page(ctx context.Context, client *clientv3.Client, revision int64) error {
	asked := s.size
	if s.limit > 0 {
		asked = min(asked, int64(s.limit-len(s.names)))
	}
	reply, err := client.Get(ctx, s.from, clientv3.WithRange(s.end), clientv3.WithRev(revision),
		clientv3.WithLimit(asked), clientv3.WithKeysOnly())
	if err != nil {
		return err
	}
	found := s.take(reply.Kvs)
	if !reply.More {
		s.done = true
	}
	if 2*found < len(reply.Kvs) { // most of them are deeper
		s.size = max(s.size/4, minPage)
	} else {
		s.size = min(s.size*4, maxPage)
	}
	return nil
}
