// Package consul is the Consul storage plugin: it keeps Holdfast's data in the KV
// store of a Consul cluster and makes Holdfast highly available on it.
//
// A Commit is one Consul transaction whose first operation is a compare-and-swap,
// so Consul itself refuses a node that is no longer active. No Consul lock, session
// or TTL takes part. A Version is the ModifyIndex of a key: an index of Consul's
// log, which a cluster never gives twice, not even after a key was deleted.
//
// Only a snapshot that is restored into a different cluster can give an index a
// second time. A Commit that may be the first one after that therefore compares the
// guard's value as well. It is a read of its own, not one step with the Commit:
// stop all Holdfast nodes before a restore.
package consul

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/hashicorp/consul/api"
	"github.com/hashicorp/go-hclog"

	"github.com/holdfast/holdfast/sdk/storage"
)

// probeTimeout is how long Open waits for Consul before it goes on without.
const probeTimeout = 3 * time.Second

// open returns a Backend for a config that is valid. A Consul that refuses the token, or is none,
// is an error; one that does not answer is not: a node that starts while the
// store is down waits for it like the others do.
func open(ctx context.Context, config Config, log hclog.Logger) (*Backend, storage.Capabilities, error) {
	none := storage.Capabilities{}
	b, err := newBackend(config, log)
	if err != nil {
		return nil, none, err
	}
	if err := b.probe(ctx, log); err != nil {
		return nil, none, errors.Join(err, b.Close())
	}
	return b, storage.Capabilities{Limits: b.limits}, nil
}

func newBackend(config Config, log hclog.Logger) (*Backend, error) {
	target, err := config.target()
	if err != nil {
		return nil, err
	}
	path, err := config.root()
	if err != nil {
		return nil, err
	}
	dials := new(atomic.Uint64)
	base, err := newTransport(config, target, dials)
	if err != nil {
		return nil, err
	}
	client, err := api.NewClient(&api.Config{
		Address: target.address,
		Scheme:  target.scheme,
		Token:   placeholderToken,
		HttpClient: &http.Client{
			Transport:     &transport{base: base, token: config.Token},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	})
	if err != nil {
		return nil, fmt.Errorf("create the consul client: %w", err)
	}
	if names := config.ignored(); len(names) > 0 {
		log.Warn("options have no effect: Holdfast uses no Consul sessions, locks or services, and always reads consistently",
			"options", names)
	}
	if config.Token != "" && target.insecure() {
		log.Warn("the token crosses the network in clear; set scheme to https", "address", config.Address)
	}
	return &Backend{
		client:       client,
		idle:         base,
		address:      config.Address,
		path:         path,
		limits:       limits(path, config.TxnMaxOps),
		timeout:      config.Timeout,
		maxDirectory: config.MaxDirectory,
		permits:      make(chan struct{}, config.MaxParallel),
		dials:        dials,
	}, nil
}

// probe asks for nothing, but with the permission to write below the path: a check
// that a key is absent needs it. The name is one that encodeKey never returns.
func (b *Backend) probe(ctx context.Context, log hclog.Logger) error {
	rctx, a, cancel := begin(ctx, min(b.timeout, probeTimeout))
	defer cancel()
	check := api.TxnOps{{KV: &api.KVTxnOp{Verb: api.KVCheckNotExists, Key: b.path + string(escape)}}}
	query := &api.QueryOptions{RequireConsistent: true}
	ok, reply, _, err := b.client.Txn().Txn(check, query.WithContext(rctx))
	switch {
	case err == nil && !ok && len(reply.Errors) > 0:
		return b.refused(reply.Errors, len(check))
	case err == nil:
		return nil
	case ctx.Err() == nil && a.sent.Load() && a.notApplied() && a.status.Load() != http.StatusTooManyRequests:
		return b.readError(ctx, a, err)
	}
	log.Warn("consul does not answer yet", "address", b.address, "error", b.explain(a, err))
	return nil
}
