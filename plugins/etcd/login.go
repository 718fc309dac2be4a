package etcd

import (
	"context"
	"errors"
	"sync/atomic"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"
)

// login is a user's token, got from the first member that is asked anything and again
// when a member no longer knows it. It is safe for concurrent use. (The client's own way
// needs a server that answers before there is a client.)
type login struct {
	user, password string
	token          atomic.Pointer[string] // nil: not asked yet; empty: the servers want none
	renewing       chan struct{}          // held by the one who asks: servers take long to check a password
}

func newLogin(user, password string) *login {
	return &login{user: user, password: password, renewing: make(chan struct{}, 1)}
}

func (l *login) dialOptions() []grpc.DialOption {
	if l.user == "" {
		return dialOptions()
	}
	return append(dialOptions(), grpc.WithPerRPCCredentials(l))
}

// GetRequestMetadata implements credentials.PerRPCCredentials.
func (l *login) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	token := l.token.Load()
	if token == nil || *token == "" {
		return nil, nil //nolint:nilnil // no metadata
	}
	return map[string]string{rpctypes.TokenFieldNameGRPC: *token}, nil
}

// RequireTransportSecurity implements credentials.PerRPCCredentials. Open warns.
func (*login) RequireTransportSecurity() bool { return false }

// with makes a request as the user. One that is refused for its token, which is before
// anything is done, is made a second time with a new one.
func (l *login) with(ctx context.Context, client *clientv3.Client, request func(context.Context) error) error {
	token := l.token.Load()
	if token == nil && l.user != "" {
		if err := l.renew(ctx, client, nil); err != nil {
			return err
		}
		token = l.token.Load()
	}
	err := request(ctx)
	if l.user == "" || !wantsToken(err) {
		return err
	}
	if err := l.renew(ctx, client, token); err != nil {
		return err
	}
	return request(ctx)
}

// renew gets a token unless the present one is another than stale by now.
func (l *login) renew(ctx context.Context, client *clientv3.Client, stale *string) error {
	select {
	case l.renewing <- struct{}{}:
		defer func() { <-l.renewing }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if l.token.Load() != stale {
		return nil
	}
	reply, err := client.Authenticate(ctx, l.user, l.password)
	switch {
	case errors.Is(err, rpctypes.ErrAuthNotEnabled):
		l.token.Store(new(string))
		return nil
	case err != nil:
		return err
	}
	l.token.Store(&reply.Token)
	return nil
}

func wantsToken(err error) bool {
	for _, refusal := range []error{rpctypes.ErrInvalidAuthToken, rpctypes.ErrAuthOldRevision, rpctypes.ErrUserEmpty} {
		if errors.Is(err, refusal) {
			return true
		}
	}
	return false
}
