// Package etcd is the etcd storage plugin: it keeps Holdfast's data in an etcd cluster
// and makes Holdfast highly available on it.
//
// A Commit is one etcd transaction on the condition that the guard was not modified, so
// etcd itself refuses a node that is no longer active. No lease, election or mutex of
// etcd takes part. A Version is the ModRevision of a key: the number of the store's
// transaction that wrote it, which is never given twice, not even after the key was
// deleted. A store that was restored from a snapshot does give numbers again; therefore
// a Commit compares the guard's value too.
package etcd

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/holdfast/holdfast/sdk/storage"
)

// probeTimeout is how long Open waits for etcd before it goes on without.
const probeTimeout = 3 * time.Second

// open returns a Backend for a config that is valid. An etcd that refuses the user is an
// error; one that does not answer is not: a node that starts while the store is down
// waits for it like the others do.
func open(ctx context.Context, config Config, log hclog.Logger) (*Backend, storage.Capabilities, error) {
	b, err := newBackend(ctx, config, log)
	if err == nil {
		err = b.probe(ctx, log)
	}
	if err == nil && config.Sync {
		err = b.sync(ctx, config, log)
	}
	if err != nil {
		if b != nil {
			err = errors.Join(err, b.Close())
		}
		return nil, storage.Capabilities{}, err
	}
	return b, storage.Capabilities{Limits: b.limits}, nil
}

func newBackend(ctx context.Context, config Config, log hclog.Logger) (*Backend, error) {
	path, err := config.root()
	if err != nil {
		return nil, err
	}
	endpoints, err := config.discover(ctx, net.DefaultResolver.LookupSRV)
	if err != nil {
		return nil, err
	}
	conf, err := config.tlsConfig(endpoints)
	if err != nil {
		return nil, err
	}
	m, err := newMembers(endpoints, config, conf)
	if err != nil {
		return nil, err
	}
	if config.LockTimeout != 0 {
		log.Warn("options have no effect: Holdfast uses no etcd locks", "options", []string{"lock_timeout"})
	}
	if config.Password != "" && slices.ContainsFunc(endpoints, inClear) {
		log.Warn("the password crosses the network in clear; use https", "address", endpoints)
	}
	return &Backend{
		members: m,
		history: newHistory(m, config, log),
		path:    path,
		limits:  limits(path, config.MaxTxnOps),
		timeout: config.RequestTimeout,
	}, nil
}

// probe makes a transaction that changes nothing, because its condition is false, but
// needs the permission to write below the path. Its key is none of ours.
func (b *Backend) probe(ctx context.Context, log hclog.Logger) error {
	rctx, cancel := context.WithTimeout(ctx, min(b.timeout, probeTimeout))
	defer cancel()
	name := b.path + "\x00"
	never := clientv3.Compare(clientv3.CreateRevision(name), "<", 0)
	err := b.members.do(rctx, anywhere, func(ctx context.Context, client *clientv3.Client) error {
		_, err := client.Txn(ctx).If(never).Then(clientv3.OpPut(name, ""), clientv3.OpGet(name)).Commit()
		return err
	})
	switch {
	case err == nil:
		return nil
	case ctx.Err() == nil && asFailure(err).user:
		return b.writeError(ctx, err)
	}
	log.Warn("etcd does not answer yet, or not well", "address", asFailure(err).endpoint, "error", err)
	return nil
}

// sync adds the members that the cluster knows and the configuration does not name. Only
// those of the same scheme: a member can not talk a node out of TLS.
func (b *Backend) sync(ctx context.Context, config Config, log hclog.Logger) error {
	rctx, cancel := context.WithTimeout(ctx, min(b.timeout, probeTimeout))
	defer cancel()
	var reply *clientv3.MemberListResponse
	err := b.members.do(rctx, anywhere, func(ctx context.Context, client *clientv3.Client) (err error) {
		reply, err = client.MemberList(ctx)
		return err
	})
	if err != nil {
		log.Warn("etcd does not name its members; only those of the configuration are used", "error", err)
		return nil
	}
	known := make([]string, 0, len(b.members.list))
	for _, m := range b.members.list {
		known = append(known, m.endpoint)
	}
	scheme, _, _ := strings.Cut(known[0], "://")
	conf, err := config.tlsConfig(known)
	if err != nil {
		return err
	}
	for _, m := range reply.Members {
		if m.IsLearner {
			continue
		}
		for _, url := range m.ClientURLs {
			if !strings.HasPrefix(url, scheme+"://") || slices.Contains(known, url) {
				continue
			}
			if err := b.members.add(url, config, conf); err != nil {
				return fmt.Errorf("use the member that etcd names: %w", err)
			}
			known = append(known, url)
		}
	}
	return nil
}
