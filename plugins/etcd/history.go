package etcd

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// Every Commit is a revision that etcd keeps until it is told to compact its history: the
// term record alone makes 200,000 a day. The Backend that commits, which is the active
// node's, compacts what is older than the retention, and looks how full the store is.
// Nothing runs in a Backend that does not commit.

const (
	// historySteps is how many times a retention the history is compacted, so it is kept
	// for up to a step longer than the retention.
	historySteps = 8
	// maxHistoryStep is also how often the space is looked at without a retention.
	maxHistoryStep = time.Minute
	// spaceWarning is the part of the quota, in percent, above which there is a warning.
	spaceWarning = 80
)

// history knows how old the revisions of the store are.
type history struct {
	members   *members
	log       hclog.Logger
	retention time.Duration // 0: nothing is compacted
	step      time.Duration // the least time between two rounds of work
	timeout   time.Duration

	mu      sync.Mutex     // guards what follows
	next    time.Time      // when the next round is due
	busy    bool           // a round is under way
	stopped bool           // no round begins any more
	marks   []mark         // oldest first; at most historySteps and some
	full    bool           // the warning was given
	rounds  sync.WaitGroup // begun with mu held
}

// mark says that a revision was the newest at some time.
type mark struct {
	revision int64
	at       time.Time
}

func newHistory(m *members, config Config, log hclog.Logger) *history {
	h := &history{members: m, log: log, retention: config.HistoryRetention, timeout: config.RequestTimeout, step: maxHistoryStep}
	if h.retention > 0 {
		h.step = min(h.step, h.retention/historySteps)
	}
	return h
}

// committed notes the revision of a Commit, and begins a round of work if one is due. It
// does not wait for it.
func (h *history) committed(ctx context.Context, revision int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := time.Now()
	if h.busy || h.stopped || now.Before(h.next) {
		return
	}
	h.next = now.Add(h.step)
	h.busy = true
	old := h.expire(mark{revision, now})
	ctx = context.WithoutCancel(ctx) // the round outlives the Commit
	h.rounds.Go(func() {
		h.round(ctx, old)
		h.mu.Lock()
		defer h.mu.Unlock()
		h.busy = false
	})
}

// expire adds a mark and drops those older than the retention. It returns the newest
// revision of these, 0 if there is none. The caller holds mu.
func (h *history) expire(latest mark) (revision int64) {
	if h.retention == 0 {
		return 0
	}
	h.marks = append(h.marks, latest)
	for len(h.marks) > 0 && latest.at.Sub(h.marks[0].at) >= h.retention {
		revision = h.marks[0].revision
		h.marks = h.marks[1:]
	}
	return revision
}

// round compacts the history before revision, unless that is 0, and looks at the space.
func (h *history) round(ctx context.Context, revision int64) {
	ctx, cancel := context.WithTimeout(ctx, h.timeout)
	defer cancel()
	if revision > 0 {
		err := h.members.do(ctx, anywhere, func(ctx context.Context, client *clientv3.Client) error {
			_, err := client.Compact(ctx, revision)
			return err
		})
		// Someone else may have compacted later revisions: so much the better.
		if err != nil && !errors.Is(err, rpctypes.ErrCompacted) && !h.over() {
			h.log.Warn("the store's history could not be compacted; it will be tried again", "error", err)
		}
	}
	var status *pb.StatusResponse
	err := h.members.do(ctx, anywhere, func(ctx context.Context, client *clientv3.Client) (err error) {
		status, err = pb.NewMaintenanceClient(client.ActiveConnection()).Status(ctx, &pb.StatusRequest{})
		return err
	})
	if err != nil {
		h.log.Debug("etcd does not tell how full it is", "error", err)
		return
	}
	h.weigh(status.GetDbSize(), status.GetDbSizeQuota())
}

// weigh warns when the database grows over the warning level, once until it has shrunk.
// Servers before 3.6 do not tell the quota; it is below 0 where there is none.
func (h *history) weigh(size, quota int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	full := quota > 0 && size*100 >= quota*spaceWarning
	if full && !h.full {
		h.log.Warn("etcd's database is nearly full; it refuses every write when it reaches its quota: "+
			"raise --quota-backend-bytes, or run etcdctl defrag on each member",
			"size", size, "quota", quota, "percent", size*100/quota)
	}
	h.full = full
}

// stop lets no further round begin.
func (h *history) stop() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.stopped = true
}

func (h *history) over() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.stopped
}

// wait returns when no round is under way. stop is called before.
func (h *history) wait() { h.rounds.Wait() }
