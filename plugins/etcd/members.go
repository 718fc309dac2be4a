package etcd

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

// members are the members of the cluster, each with a client of its own. The client
// would spread requests over all members, those that stand still or are cut off from the
// others too; here the one that answered last is asked until it fails.
type members struct {
	list    []*member
	login   *login
	current atomic.Int64 // index in list
}

// member is one endpoint.
type member struct {
	endpoint string
	client   *clientv3.Client
}

// request is what a member is asked. It keeps the reply to itself.
type request func(ctx context.Context, client *clientv3.Client) error

// policy says when a request may go to another member.
type policy bool

const (
	anywhere policy = true  // it changes nothing, so whenever another member may do better
	once     policy = false // only if the member before certainly did not and will not do it
)

// newMembers connects to nobody yet.
func newMembers(endpoints []string, config Config, conf *tls.Config) (*members, error) {
	m := &members{login: newLogin(config.Username, config.Password)}
	for _, endpoint := range endpoints {
		if err := m.add(endpoint, config, conf); err != nil {
			return nil, errors.Join(err, m.close())
		}
	}
	return m, nil
}

func (m *members) add(endpoint string, config Config, conf *tls.Config) error {
	client, err := clientv3.New(clientv3.Config{
		Endpoints:            []string{endpoint},
		TLS:                  conf,
		DialKeepAliveTime:    keepAliveTime,
		DialKeepAliveTimeout: keepAliveTimeout,
		MaxCallRecvMsgSize:   config.MaxReceiveSize,
		MaxUnaryRetries:      1, // the first one counts
		DialOptions:          m.login.dialOptions(),
		Logger:               zap.NewNop(), // it logs what it returns
	})
	if err != nil {
		return fmt.Errorf("create the client of etcd at %s: %w", endpoint, err)
	}
	m.list = append(m.list, &member{endpoint: endpoint, client: client})
	return nil
}

func (m *members) close() error {
	var errs []error
	for _, member := range m.list {
		if err := member.client.Close(); err != nil && !errors.Is(err, context.Canceled) {
			errs = append(errs, fmt.Errorf("close the client of etcd at %s: %w", member.endpoint, err))
		}
	}
	return errors.Join(errs...)
}

// preferred returns the member to ask first.
func (m *members) preferred() *member {
	return m.list[int(m.current.Load())%len(m.list)]
}

// avoid makes another member the preferred one if failed is it.
func (m *members) avoid(failed *member) {
	at := m.current.Load()
	if m.list[int(at)%len(m.list)] == failed {
		m.current.CompareAndSwap(at, at+1)
	}
}

// do makes a request of the preferred member and, as far as policy allows, of the others.
// Each member gets an equal share of the time that is left. The error is a *failure.
func (m *members) do(ctx context.Context, policy policy, request request) error {
	first := int(m.current.Load())
	for left := len(m.list); ; left-- {
		member := m.list[(first+len(m.list)-left)%len(m.list)]
		f := m.attempt(ctx, member, left, policy, request)
		if f == nil {
			return nil
		}
		if f.elsewhere && !errors.Is(ended(ctx), context.Canceled) { // the member failed, not the caller's patience
			m.avoid(member)
		}
		if left == 1 || ended(ctx) != nil || !f.elsewhere || policy == once && !f.notApplied() {
			return f
		}
	}
}

// attempt makes a request of one member. A request that has not left when its share of
// the time is over is given up; so is one that may be made anywhere, sent or not.
func (m *members) attempt(ctx context.Context, member *member, shares int, policy policy, request request) *failure {
	actx, cancel := context.WithCancel(clientv3.WithRequireLeader(ctx))
	defer cancel()
	p := new(passage)
	if deadline, ok := ctx.Deadline(); ok && shares > 1 {
		timer := time.AfterFunc(time.Until(deadline)/time.Duration(shares), func() {
			if policy == anywhere || !p.left.Load() {
				cancel()
			}
		})
		defer timer.Stop()
	}
	err := m.login.with(actx, member.client, func(ctx context.Context) error {
		err := request(context.WithValue(ctx, passageKey{}, p), member.client)
		if wantsToken(err) {
			p.left.Store(false) // that one was not looked at
			p.complete.Store(false)
			p.answered.Store(false)
		}
		return err
	})
	if err == nil {
		return nil
	}
	return newFailure(member.endpoint, err, p)
}
