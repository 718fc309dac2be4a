// Package node is one Holdfast server without its HTTP: it initialises, unseals and
// seals, takes part in the cluster while it is unsealed, and sends every request
// to the active node.
package node

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/holdfast/holdfast/host/api"
	"github.com/holdfast/holdfast/host/ha"
	"github.com/holdfast/holdfast/host/seal"
	"github.com/holdfast/holdfast/sdk/storage"
)

// Where the node's own records are. Everything below hf/ is Holdfast's.
const (
	home        = "hf/"
	sealKey     = home + "seal"
	keyringKey  = home + "keyring"
	rotationKey = home + "rotation"
	clusterKey  = home + "cluster"
	rosterKey   = home + "members"
)

// Storage is the storage plugin.
type Storage interface {
	storage.HABackend
	Capabilities() storage.Capabilities
	HA() bool // Commit and Watch are offered
	// SetLastWill leaves with the plugin what it is to put at key if this process is killed, on
	// top of the last Commit; nil takes that back. It does not block.
	SetLastWill(key string, value []byte)
}

// Config of a Node. Fields without a remark are required.
type Config struct {
	Storage        Storage
	Plugin         Plugin // behind Storage, for the operator
	StorageType    string
	Version        string
	Hostname       string
	ClusterName    string // of a cluster that this node initialises; made up if empty
	APIAddress     string // advertised; may be empty without high availability
	ClusterAddress string // advertised; likewise
	ClusterBind    string // host:port to listen on for other nodes; likewise
	Timing         ha.Timing
	Hold           time.Duration // how long a request waits while no node is active; 0 = not at all
	Strict         bool          // confirm every read with the store
	MaxRequestSize int64         // bytes of a request body that is forwarded
	RootToken      string        // of a cluster that this node initialises; random if empty, as it should be
	Logger         hclog.Logger
}

// Node implements api.Node. It is safe for concurrent use.
type Node struct {
	cfg     Config
	ha      bool
	config  atomic.Pointer[seal.Config]  // nil until the cluster is known to be initialised
	attempt atomic.Pointer[seal.Attempt] // nil before the first share
	known   atomic.Pointer[tokenSum]     // of the token that asked for the plugin last; nil: none has
	session atomic.Pointer[session]      // nil while sealed
	change  sync.Mutex                   // held while initialising, unsealing or sealing
	fatal   chan error
	tasks   sync.WaitGroup
	cancel  context.CancelFunc
}

// Open returns a sealed Node. It fails with ha.ErrRefused if there is no high
// availability and another node runs on the store. Close ends it.
func Open(ctx context.Context, cfg Config) (*Node, error) {
	n := &Node{cfg: cfg, fatal: make(chan error, 1)}
	n.ha = cfg.Storage.HA() && !cfg.Storage.Capabilities().HADisabled
	if !n.ha {
		key := ha.InstanceKey
		if cfg.Storage.HA() {
			key = ha.RecordKey
		}
		if err := ha.CheckAlone(ctx, cfg.Storage, key, cfg.Timing.Beat); err != nil {
			return nil, err
		}
	}
	// A node that says for a moment that an initialised cluster is not invites mistakes; one
	// that can not reach its store starts all the same, and awaitInit goes on asking.
	look, done := context.WithTimeout(ctx, 2*time.Second)
	if _, err := n.Initialized(look); err != nil {
		cfg.Logger.Warn("the store does not say yet whether the cluster is initialised", "error", err)
	}
	done()
	// What Open starts lasts until Close, not until ctx ends.
	run, cancel := context.WithCancel(context.WithoutCancel(ctx))
	n.cancel = cancel
	if !cfg.Storage.HA() {
		n.tasks.Go(func() { ha.KeepInstance(run, cfg.Storage, cfg.Timing.Beat, cfg.Logger) })
	}
	n.tasks.Go(func() { n.awaitInit(run) })
	return n, nil
}

// Fatal delivers the reason why this node can not go on, at most once.
func (n *Node) Fatal() <-chan error { return n.fatal }

// HandOver ends this node's tenure, if it has one, while requests are still taken: they
// go to the next active node. ctx bounds it.
func (n *Node) HandOver(ctx context.Context, reason string) {
	s := n.session.Load()
	if s == nil {
		return
	}
	if err := s.stepDown(ctx, "", reason); err != nil {
		n.cfg.Logger.Warn("hand over", "error", err)
	}
}

// Close hands over if this node is active, and stops everything. ctx bounds the
// hand-over. The storage stays the caller's.
func (n *Node) Close(ctx context.Context) {
	n.change.Lock()
	defer n.change.Unlock()
	n.endSession(ctx, "the node is stopping")
	n.cancel()
	n.tasks.Wait()
}

// awaitInit learns that the cluster is initialised, by whichever node.
func (n *Node) awaitInit(ctx context.Context) {
	pause := time.NewTicker(time.Second)
	defer pause.Stop()
	warned := false
	for ctx.Err() == nil {
		known, err := n.Initialized(ctx)
		if known {
			return
		}
		if err != nil && !warned && ctx.Err() == nil {
			n.cfg.Logger.Warn("read from storage; trying again every second", "error", err)
			warned = true
		}
		if err == nil && n.cfg.Storage.HA() {
			wctx, cancel := context.WithTimeout(ctx, 30*time.Second)
			// Whatever it returns, Initialized looks for itself.
			_, err = n.cfg.Storage.Watch(wctx, sealKey, "")
			cancel()
			if err == nil {
				continue
			}
		}
		select {
		case <-pause.C:
		case <-ctx.Done():
		}
	}
}

// Initialized implements api.Node.
func (n *Node) Initialized(ctx context.Context) (bool, error) {
	if n.config.Load() != nil {
		return true, nil
	}
	rctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	item, err := n.cfg.Storage.Get(rctx, sealKey)
	if errors.Is(err, storage.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	c, err := seal.ParseConfig(item.Value)
	if err != nil {
		return false, fmt.Errorf("%s in the store: %w", sealKey, err)
	}
	n.config.CompareAndSwap(nil, &c)
	return true, nil
}

// Status implements api.Node.
func (n *Node) Status() api.Status {
	s := api.Status{
		Version:     n.cfg.Version,
		StorageType: n.cfg.StorageType,
		HA:          n.ha,
		Sealed:      true,
	}
	if c := n.config.Load(); c != nil {
		s.Initialized = true
		s.Shares, s.Threshold = c.Shares, c.Threshold
		s.ClusterName, s.ClusterID = c.ClusterName, c.ClusterID
	}
	if a := n.attempt.Load(); a != nil {
		s.Progress, s.Nonce = a.Progress(), a.Nonce()
	}
	if session := n.session.Load(); session != nil {
		s.Sealed, s.Progress, s.Nonce = false, 0, ""
		session.status(&s)
	}
	return s
}
