// Package zookeeper is the ZooKeeper storage plugin: it keeps Holdfast's data in a
// ZooKeeper ensemble and makes Holdfast highly available on it.
//
// A Commit is one multi, ZooKeeper's transaction, whose first operation is conditional on
// the guard, so ZooKeeper itself refuses a node that is no longer active. No ephemeral
// node, lock or session timeout takes part. A read follows an empty transaction on the
// same connection, because ZooKeeper has no linearizable read.
//
// A Version is the count of changes that ZooKeeper keeps for a node, with the name of a
// child, the witness, that tells the lives of the node apart. Only a store that is taken
// back to an older state can give a version a second time. The first Commit of a session
// therefore compares the guard's value as well. It is a read of its own, not one step with
// the Commit: stop all Holdfast nodes before a restore.
package zookeeper

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/go-zookeeper/zk"
	"github.com/hashicorp/go-hclog"

	"github.com/holdfast/holdfast/sdk"
	"github.com/holdfast/holdfast/sdk/storage"
)

// probeTimeout is how long Open waits for ZooKeeper before it goes on without.
const probeTimeout = 3 * time.Second

// open returns a Backend for a config that is valid. Servers that refuse the
// credentials are an error; servers that do not answer are not: a node that starts while
// the store is down waits for it like the others do.
func open(ctx context.Context, config Config, env sdk.Env) (*Backend, storage.Capabilities, error) {
	none := storage.Capabilities{}
	b, err := newBackend(config, env.Logger)
	if err != nil {
		return nil, none, err
	}
	if err := b.probe(ctx, env.Logger); err != nil {
		return nil, none, errors.Join(err, b.Close())
	}
	return b, storage.Capabilities{Limits: limits(config.JuteMaxBuffer, env.MaxLimits)}, nil
}

func newBackend(config Config, log hclog.Logger) (*Backend, error) {
	addresses, err := config.addresses()
	if err != nil {
		return nil, err
	}
	root, err := config.root()
	if err != nil {
		return nil, err
	}
	scheme, secret, err := config.credentials()
	if err != nil {
		return nil, err
	}
	acl, err := config.acl()
	if err != nil {
		return nil, err
	}
	t := transport{patience: config.SessionTimeout / 3}
	if config.Enabled {
		if t.tls, err = config.clientTLS(); err != nil {
			return nil, err
		}
	} else if scheme != "" {
		log.Warn("the credentials cross the network in clear; set tls_enabled where it is not trusted")
	}
	work := new(sync.WaitGroup)
	d := dialer{
		transport: t,
		timeout:   config.SessionTimeout,
		maxBuffer: config.JuteMaxBuffer,
		root:      directoryNode(root, ""),
		scheme:    scheme,
		secret:    secret,
		work:      work,
	}
	return &Backend{
		link:         newLink(d, addresses, config.Timeout),
		address:      strings.Join(addresses, ","),
		root:         root,
		acl:          acl,
		timeout:      config.Timeout,
		maxDirectory: config.MaxDirectory,
		rotation:     int32(config.RecordRotation), //nolint:gosec // validated
		writing:      make(chan struct{}, 1),
		work:         work,
	}, nil
}

// probeKey is not a key, so its node is nobody's.
const probeKey = ""

// probe deletes a node that does not exist, which needs the permission to create and to
// delete nodes and changes nothing.
func (b *Backend) probe(ctx context.Context, log hclog.Logger) error {
	ctx, cancel := context.WithTimeout(ctx, min(b.timeout, probeTimeout))
	defer cancel()
	err := b.Write(ctx, []storage.Op{storage.Delete(probeKey)})
	for _, refusal := range []error{zk.ErrNoAuth, zk.ErrAuthFailed, zk.ErrInvalidACL} {
		if errors.Is(err, refusal) {
			return err
		}
	}
	if err != nil {
		log.Warn("zookeeper does not answer yet", "address", b.address, "error", err)
	}
	return nil
}
