package node

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfast/holdfast/host/api"
	"github.com/holdfast/holdfast/host/barrier"
	"github.com/holdfast/holdfast/host/cluster"
	"github.com/holdfast/holdfast/host/ha"
	"github.com/holdfast/holdfast/host/rotation"
	"github.com/holdfast/holdfast/host/store"
	"github.com/holdfast/holdfast/host/version"
)

// driver decides when this node is active: ha.Driver, or ha.Unfenced.
type driver interface {
	Run(ctx context.Context) error
	Wake()
	CheckRecord()
	Snapshot() ha.Snapshot
	StepDown(ctx context.Context, target, reason string) error
	Agree(ctx context.Context, speak version.Set)
	Heard(ctx context.Context, s ha.Sighting)
	AcceptRestore(ctx context.Context, others ha.Sighting) error
}

// session is the time from unsealing to sealing: everything that needs the keys.
type session struct {
	node    *Node
	self    cluster.Member
	rootKey []byte
	barrier *barrier.Barrier
	store   *store.Store
	driver  driver
	keys    *rotation.Rotator
	logical *api.Logical
	members *cluster.Members
	dialer  *cluster.Dialer // nil without high availability
	view    viewer
	peers   peers
	listed  atomic.Pointer[listing] // of the members, as the active node told last

	cancel context.CancelFunc
	tasks  sync.WaitGroup
}

// startSession begins to take part in the cluster. It takes rootKey over. n.change
// is held.
func (n *Node) startSession(ctx context.Context, rootKey []byte, keyring *barrier.Keyring) error {
	s := &session{node: n, rootKey: rootKey, barrier: barrier.New(keyring), members: cluster.NewMembers()}
	s.self = cluster.Member{
		InstanceID:     strings.ToLower(rand.Text()),
		Hostname:       n.cfg.Hostname,
		APIAddress:     n.cfg.APIAddress,
		ClusterAddress: n.cfg.ClusterAddress,
		Version:        n.cfg.Version,
		Speaks:         version.Spoken(),
	}
	s.view.init()
	run, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s.cancel = cancel
	if err := s.assemble(ctx, run); err != nil {
		s.stop()
		return err
	}
	n.session.Store(s)
	s.tasks.Go(func() {
		if err := s.driver.Run(run); err != nil {
			n.cfg.Logger.Error("this node can not go on", "error", err)
			select {
			case n.fatal <- err:
			default: // one is enough
			}
		}
	})
	n.cfg.Logger.Info("unsealed", "instance", s.self.InstanceID)
	return nil
}

// assemble makes the parts and starts what serves other nodes.
func (s *session) assemble(ctx, run context.Context) error {
	n := s.node
	limits := n.cfg.Storage.Capabilities().Limits
	s.store = store.New(store.Config{
		Reader: n.cfg.Storage, Sealer: sealer{s.barrier}, Limits: limits,
		Wake:   func() { s.driver.Wake() },
		Prove:  s.proof(),
		Strict: n.cfg.Strict, Hold: n.cfg.Hold,
	})
	s.keys = s.newRotator()
	s.logical = api.NewLogical(api.LogicalConfig{
		Store: s.store, Logger: n.cfg.Logger.Named("api"), Status: n.Status, Keys: s.keys,
		StepDown: func(ctx context.Context, target string) error {
			// Once asked for, it does not end because the client went away.
			return s.stepDown(context.WithoutCancel(ctx), target, "an operator asked it to step down")
		},
		Terms: s.terms,
	})
	if !n.cfg.Storage.HA() {
		s.driver = ha.NewUnfenced(n.cfg.Storage, s.store, n.cfg.Logger.Named("ha"), s.changed(run))
		return nil
	}
	s.driver = ha.NewDriver(ha.Config{
		Self:    ha.Node{ID: s.self.InstanceID, APIAddress: s.self.APIAddress, ClusterAddress: s.self.ClusterAddress, Release: s.self.Version},
		Cluster: n.config.Load().ClusterID,
		Timing:  n.cfg.Timing, Solo: !n.ha,
		Backend: n.cfg.Storage, Sealer: s.barrier, Log: s.store,
		Logger: n.cfg.Logger.Named("ha"), Reload: s.reloadKeyring, Changed: s.changed(run),
		SetLastWill: n.cfg.Storage.SetLastWill, AskOthers: s.othersAsked(),
	})
	if !n.ha {
		return nil
	}
	return s.join(ctx, run)
}

// join opens the traffic with other nodes.
func (s *session) join(ctx, run context.Context) error {
	n := s.node
	raw, err := direct{n.cfg.Storage, s.barrier, s.reloadKeyring}.Get(ctx, clusterKey)
	if err != nil {
		return fmt.Errorf("read %s: %w", clusterKey, err)
	}
	ca, err := cluster.ParseCA(raw)
	if err != nil {
		return fmt.Errorf("read %s: %w", clusterKey, err)
	}
	cert, err := ca.Issue(s.self.InstanceID)
	if err != nil {
		return err
	}
	logger := n.cfg.Logger.Named("cluster")
	s.dialer, err = cluster.NewDialer(cluster.DialerConfig{
		CA: ca, Certificate: cert, Log: logger, MaxRequestBytes: int(n.cfg.MaxRequestSize),
		Epoch: func() uint64 { return s.driver.Snapshot().Record.Epoch }, Listed: s.take,
	})
	if err != nil {
		return err
	}
	listener, err := cluster.Listen(ctx, n.cfg.ClusterBind)
	if err != nil {
		return fmt.Errorf("listen for other nodes (cluster_address of the listener): %w", err)
	}
	s.tasks.Go(func() {
		err := cluster.Serve(run, listener, cluster.ServerConfig{
			TLS: cluster.ServerTLS(ca, cert), Handler: s, Members: s.members, Log: logger, Compare: s.compare, List: s.list,
			MaxRequestBytes: int(n.cfg.MaxRequestSize),
		})
		if err != nil && run.Err() == nil {
			logger.Error("serve other nodes", "error", err)
		}
	})
	s.tasks.Go(func() { s.follow(run) })
	s.tasks.Go(func() { s.tell(run) })
	return nil
}

// endSession hands over if this node is active, and forgets the keys. n.change is held.
func (n *Node) endSession(ctx context.Context, reason string) {
	s := n.session.Load()
	if s == nil {
		return
	}
	if !s.driver.Snapshot().Leaving { // else it was tried, and the store did not answer
		n.HandOver(ctx, reason)
	}
	n.session.Store(nil)
	s.stop()
}

// stop ends everything that the session started and forgets the keys.
func (s *session) stop() {
	s.cancel()
	s.view.drain()
	if s.dialer != nil {
		if err := s.dialer.Close(); err != nil {
			s.node.cfg.Logger.Debug("close connections to other nodes", "error", err)
		}
	}
	s.tasks.Wait()
	if s.store != nil {
		s.store.Close()
	}
	s.barrier.Destroy()
	clear(s.rootKey)
}

// handOverTime bounds a step-down: a store that does not answer must not keep a node
// from stopping. Without the record the others wait for the lease to run out.
const handOverTime = 5 * time.Second

// stepDown hands over to target, the instance id, host name or an address of a member; to
// the member heard of last if empty.
func (s *session) stepDown(ctx context.Context, target, reason string) error {
	if s.driver.Snapshot().Role == ha.Standby {
		return nil
	}
	id, err := s.successor(target)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, handOverTime)
	defer cancel()
	err = s.driver.StepDown(ctx, id, reason)
	s.members.Notify()
	return err
}

func (s *session) successor(target string) (string, error) {
	var best cluster.Member
	for _, m := range s.members.Members() {
		if target != "" && goesBy(m, target) {
			return m.InstanceID, nil
		}
		if m.LastEcho.After(best.LastEcho) {
			best = m
		}
	}
	if target != "" && goesBy(s.self, target) {
		return "", fmt.Errorf("%w: %q is the active node", api.ErrUnknownTarget, target)
	}
	if target != "" {
		return "", fmt.Errorf("%w: %q is not attached to the active node; see operator members", api.ErrUnknownTarget, target)
	}
	return best.InstanceID, nil
}

// goesBy reports whether operators may call m so.
func goesBy(m cluster.Member, name string) bool {
	return slices.Contains([]string{m.InstanceID, m.Hostname, m.APIAddress, m.ClusterAddress}, name)
}
