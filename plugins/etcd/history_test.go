package etcd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/holdfast/holdfast/sdk/storage"
	"github.com/holdfast/holdfast/test/servers"
)

// lockedBuffer collects a log.
type lockedBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

func logTo(b *lockedBuffer) hclog.Logger {
	return hclog.New(&hclog.LoggerOptions{Output: b, Level: hclog.Info})
}

// kept returns how many revisions of a key the store still has that nobody else writes
// beside.
func kept(t *testing.T, client *clientv3.Client, name string) int64 {
	t.Helper()
	now, err := client.Get(t.Context(), name)
	if err != nil || len(now.Kvs) != 1 {
		t.Fatalf("get %s: %v, %v", name, now, err)
	}
	first, last := now.Kvs[0].CreateRevision, now.Kvs[0].ModRevision
	compacted := sort.Search(int(last-first), func(i int) bool { // revisions before this one
		_, err := client.Get(t.Context(), name, clientv3.WithRev(first+int64(i)))
		if err != nil && !errors.Is(err, rpctypes.ErrCompacted) {
			t.Fatal(err)
		}
		return err == nil
	})
	return last - first + 1 - int64(compacted)
}

// The one who commits keeps the history short; one who only reads does nothing.
func TestHistoryIsCompacted(t *testing.T) {
	t.Parallel()
	server := servers.Etcd(t)
	client := raw(t, server.Address)
	retention := func(d time.Duration) func(*Config) { return func(c *Config) { c.HistoryRetention = d } }

	commits := func(b declared, key string, during time.Duration) (n int64) {
		guard := storage.Guard{Key: key}
		for deadline := time.Now().Add(during); time.Now().Before(deadline); n++ {
			guard.Value = fmt.Appendf(nil, "%d", n)
			guard.Version = mustCommit(t, b, guard)
			guard.Prev = guard.Value
			if err := pause(t.Context(), 5*time.Millisecond); err != nil {
				t.Fatal(err)
			}
		}
		return n
	}
	off := openAt(t, server.Address, retention(0))
	n := commits(off, "off", 2*minRetention)
	if got := kept(t, client, off.name("off")); got != n {
		t.Errorf("with history_retention 0 the store keeps %d revisions of %d, want all", got, n)
	}

	idle := openAt(t, server.Address, retention(minRetention))
	b := openAt(t, server.Address, retention(minRetention))
	if _, err := idle.Get(t.Context(), "none"); !errors.Is(err, storage.ErrNotFound) {
		t.Fatal(err)
	}
	n = commits(b, "on", 4*minRetention)
	got := kept(t, client, b.name("on"))
	if got > n/2 {
		t.Errorf("after %v with history_retention %v the store keeps %d revisions of %d", 4*minRetention, minRetention, got, n)
	}
	if got < n/8 {
		t.Errorf("after %v with history_retention %v the store keeps only %d revisions of %d", 4*minRetention, minRetention, got, n)
	}
	idle.history.mu.Lock()
	defer idle.history.mu.Unlock()
	if idle.history.next != (time.Time{}) {
		t.Error("a backend that never committed has looked after the history")
	}
}

// The newest of the marks that are old enough counts.
func TestHistoryExpires(t *testing.T) {
	start := time.Now()
	h := &history{retention: 10 * time.Minute}
	var compacted []int64
	for minute := range 30 {
		at := start.Add(time.Duration(minute) * time.Minute)
		if revision := h.expire(mark{int64(100 * minute), at}); revision != 0 {
			compacted = append(compacted, revision)
		}
	}
	want := []int64{}
	for minute := 1; minute < 20; minute++ {
		want = append(want, int64(100*minute))
	}
	if !slices.Equal(compacted, want) {
		t.Errorf("compacted %v, want %v", compacted, want)
	}
	if len(h.marks) > 10 {
		t.Errorf("%d marks are kept for a retention of 10 minutes, one each minute", len(h.marks))
	}
}

func TestSpaceWarning(t *testing.T) {
	log := &lockedBuffer{}
	h := newHistory(nil, defaults(), logTo(log))
	for _, percent := range []int64{10, 79, 80, 95, 99, 70, 85} {
		h.weigh(percent, 100)
	}
	h.weigh(1<<40, -1) // no quota
	h.weigh(1<<40, 0)  // a server that does not tell
	if got := strings.Count(log.String(), "nearly full"); got != 2 {
		t.Errorf("%d warnings, want one each time 80 %% are reached:\n%s", got, log)
	}
}

// A database that has reached its quota: a warning before, a clear refusal of writes while
// reads go on, and recovery when there is room.
func TestSpaceAlarm(t *testing.T) {
	t.Parallel()
	const quota = 16 << 20
	// The size that etcd tells is that of its last batch to the disk: each write is one here,
	// so that none but the last goes over the warning level and the quota at once.
	cluster := servers.EtcdCluster(t, 1, fmt.Sprintf("--quota-backend-bytes=%d", quota), "--backend-batch-limit=1")
	log := &lockedBuffer{}
	c := configured(cluster.Address())
	c.HistoryRetention = minRetention
	b := openWith(t, logTo(log), c)
	b.history.step = 0 // look after every commit

	guard := storage.Guard{Key: "guard", Value: []byte("1")}
	guard.Version = mustCommit(t, b, guard, storage.Put("kept", []byte("kept")))
	var err error
	for i := 0; err == nil && i < 1000; i++ {
		guard.Prev, guard.Value = guard.Value, fmt.Appendf(nil, "%d", i)
		var v storage.Version
		if v, err = b.Commit(t.Context(), guard, []storage.Op{storage.Put("big", make([]byte, 256<<10))}); err == nil {
			guard.Version = v
			b.history.wait() // for the look at the space that this commit began
			continue
		}
		if item, getErr := b.Get(t.Context(), guard.Key); getErr == nil && item.Version != guard.Version {
			guard.Version, err = item.Version, nil // the last one that fitted was applied, and answered like the next
		}
	}
	if !errors.Is(err, storage.ErrUnavailable) || storage.OutcomeOf(err) != storage.Unapplied || !strings.Contains(err.Error(), "NOSPACE") {
		t.Fatalf("commit to a full store: %v (%v), want ErrUnavailable, not applied, that names the alarm", err, storage.OutcomeOf(err))
	}
	if !strings.Contains(log.String(), "nearly full") {
		t.Errorf("there was no warning before the store was full:\n%s", log)
	}
	if item, err := b.Get(t.Context(), "kept"); err != nil || string(item.Value) != "kept" {
		t.Errorf("get from a full store: %q, %v, want %q", item.Value, err, "kept")
	}
	if names, err := b.List(t.Context(), "", "", 0); err != nil || len(names) != 3 {
		t.Errorf("list of a full store: %q, %v, want three names", names, err)
	}
	if err := b.Write(t.Context(), []storage.Op{storage.Put("x", nil)}); storage.OutcomeOf(err) != storage.Unknown {
		t.Errorf("write to a full store: %v (%v), want an unknown outcome: no guard tells", err, storage.OutcomeOf(err))
	}
	// A node that starts now comes up, and waits.
	openAt(t, cluster.Address())

	reply, err := raw(t, cluster.Address()).Get(t.Context(), "none")
	if err != nil {
		t.Fatal(err)
	}
	cluster.Ctl("compact", fmt.Sprint(reply.Header.Revision), "--physical")
	cluster.Ctl("defrag")
	cluster.Ctl("alarm", "disarm")
	poll(t, "commit when there is room", func(ctx context.Context) error {
		_, err := b.Commit(ctx, guard, nil)
		return err
	})
}
