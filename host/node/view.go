package node

import (
	"context"
	"errors"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfast/holdfast/host/api"
	"github.com/holdfast/holdfast/host/barrier"
	"github.com/holdfast/holdfast/host/clock"
	"github.com/holdfast/holdfast/host/cluster"
	"github.com/holdfast/holdfast/host/ha"
)

// view is where requests go at a moment.
type view struct {
	snapshot ha.Snapshot
	ready    bool           // this node is active and has loaded what it needs
	damage   string         // this node is active, and a record that it needs can not be opened: which one, and why
	active   cluster.Target // another node that is active; zero if none is known
	changed  chan struct{}  // closed when there is a newer view
}

// viewer publishes views. Reading is lock-free.
type viewer struct {
	current atomic.Pointer[view]

	mu     sync.Mutex
	tenure context.CancelFunc // guarded by mu; ends what belongs to the present tenure; nil if not active
	loads  sync.WaitGroup
}

func (v *viewer) init() { v.current.Store(&view{changed: make(chan struct{})}) }

// update publishes what edit makes of the present view.
func (v *viewer) update(edit func(*view)) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.replace(edit)
}

// replace is update for those who hold mu.
func (v *viewer) replace(edit func(*view)) {
	old := v.current.Load()
	next := *old
	next.changed = make(chan struct{})
	edit(&next)
	v.current.Store(&next)
	close(old.changed)
}

// drain waits for what belonged to the last tenure, and lets go the requests that wait
// for a view.
func (v *viewer) drain() {
	v.mu.Lock()
	if v.tenure != nil {
		v.tenure()
		v.tenure = nil
	}
	v.replace(func(next *view) { next.ready, next.active = false, cluster.Target{} })
	v.mu.Unlock()
	v.loads.Wait()
}

// changed returns the function that the driver calls on every change.
func (s *session) changed(run context.Context) func(ha.Snapshot) {
	return func(snapshot ha.Snapshot) {
		v := &s.view
		v.mu.Lock()
		defer v.mu.Unlock()
		was, is := v.tenure != nil, snapshot.Role == ha.Active
		if was && !is {
			v.tenure()
			v.tenure = nil
			s.members.Notify()
		}
		v.replace(func(next *view) {
			next.snapshot = snapshot
			next.ready = next.ready && is && was
			if !is {
				next.damage = ""
			}
			next.active = cluster.Target{}
			holder := snapshot.Record.Holder
			if !is && snapshot.Known && snapshot.Record.Phase == ha.Held && holder.ID != s.self.InstanceID {
				next.active = cluster.Target{Addr: hostPort(holder.ClusterAddress), InstanceID: holder.ID}
			}
		})
		if is && !was && run.Err() == nil {
			ctx, cancel := context.WithCancel(run)
			v.tenure = cancel
			v.loads.Go(func() { s.lead(ctx) })
		}
	}
}

// hostPort is what to dial for an advertised cluster address, which is a URL.
func hostPort(clusterAddress string) string {
	if u, err := url.Parse(clusterAddress); err == nil && u.Host != "" {
		return u.Host
	}
	return clusterAddress
}

// lead loads what requests need and serves them until the tenure ends.
func (s *session) lead(ctx context.Context) {
	logger := s.node.cfg.Logger
	for {
		err := s.load(ctx)
		if err == nil {
			s.view.update(func(v *view) { v.ready, v.damage = ctx.Err() == nil, "" })
			s.work(ctx)
			return
		}
		if ctx.Err() != nil {
			return
		}
		logger.Error("load the mount table and the tokens; trying again", "error", err)
		if barrier.IsDamage(err) {
			s.view.update(func(v *view) { v.damage = err.Error() })
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return
		}
	}
}

func (s *session) load(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	var keys error
	var loading sync.WaitGroup
	loading.Go(func() { keys = s.keys.Load(ctx) }) // at the same time, for clients wait
	err := s.logical.Load(ctx)
	loading.Wait()
	return errors.Join(err, keys)
}

// follow keeps this node attached to the active one.
func (s *session) follow(ctx context.Context) {
	for ctx.Err() == nil {
		v := s.view.current.Load()
		if v.active == (cluster.Target{}) {
			select {
			case <-v.changed:
			case <-ctx.Done():
			}
			continue
		}
		s.followOne(ctx, v.active)
	}
}

// followOne stays attached to target until another node is active.
func (s *session) followOne(ctx context.Context, target cluster.Target) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var watching sync.WaitGroup
	watching.Go(func() {
		defer cancel()
		for {
			v := s.view.current.Load()
			if v.active != target {
				return
			}
			select {
			case <-v.changed:
			case <-ctx.Done():
				return
			}
		}
	})
	s.dialer.StayAttached(ctx, target, s.self, s.driver.CheckRecord)
	watching.Wait()
}

// status fills in what only an unsealed node knows.
func (s *session) status(st *api.Status) {
	v := s.view.current.Load()
	snapshot := s.driver.Snapshot()
	st.Epoch, st.InForce = snapshot.Record.Epoch, snapshot.Record.InForce()
	st.LastChange, st.LastReason = snapshot.Change.At, snapshot.Change.Reason
	st.Generation = snapshot.Record.Generation
	if snapshot.RecordLost != "" {
		st.RecordError = snapshot.RecordLost + "; " + snapshot.Damage.Remedy()
	}
	st.Role = api.RoleStandby
	switch {
	case snapshot.Role == ha.Active && v.ready:
		st.Role = api.RoleActive
		if snapshot.Suspended {
			st.Role = api.RoleSuspended
		}
		st.ActiveSince = snapshot.Since
		st.LeaseRemaining = max(snapshot.Lease.Sub(clock.Now()), 0)
		st.LeaderAPIAddr, st.LeaderCluster = s.self.APIAddress, s.self.ClusterAddress
	case v.active != (cluster.Target{}):
		holder := v.snapshot.Record.Holder // the driver may know of another one by now
		st.LeaderAPIAddr, st.LeaderCluster = holder.APIAddress, holder.ClusterAddress
	}
	st.Members = s.memberList(st)
}
