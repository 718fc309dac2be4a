package etcd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/holdfast/holdfast/sdk/storage"
	"github.com/holdfast/holdfast/test/servers"
)

// patience is how long a test waits for what must happen.
const patience = 30 * time.Second

// declared is a Backend and what Open said of it.
type declared struct {
	*Backend
	limits storage.Limits
}

// configured is the default configuration for the members at address.
func configured(address string, change ...func(*Config)) Config {
	c := defaults()
	c.Address = strings.Split(address, ",")
	for _, f := range change {
		f(&c)
	}
	return c
}

// openAt opens a Backend for a real store. The test closes it at its end.
func openAt(t *testing.T, address string, change ...func(*Config)) declared {
	t.Helper()
	return openWith(t, hclog.NewNullLogger(), configured(address, change...))
}

func openWith(t *testing.T, log hclog.Logger, c Config) declared {
	t.Helper()
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	b, capabilities, err := open(t.Context(), c, log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return declared{b, capabilities.Limits}
}

// raw returns etcd's own client, to look behind the plugin.
func raw(t *testing.T, address string) *clientv3.Client {
	t.Helper()
	client, err := clientv3.New(clientv3.Config{Endpoints: strings.Split(address, ","), Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := client.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return client
}

// poll calls f until it succeeds.
func poll(t *testing.T, what string, f func(ctx context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := f(ctx)
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%s: %v", what, err)
		case <-tick.C:
		}
	}
}

func mustCommit(t *testing.T, b declared, guard storage.Guard, ops ...storage.Op) storage.Version {
	t.Helper()
	v, err := b.Commit(t.Context(), guard, ops)
	if err != nil {
		t.Fatalf("commit: %v", err)
	}
	return v
}

// What only etcd can get wrong, on one server. Every subtest has a path of its own.
func TestEtcd(t *testing.T) {
	t.Parallel()
	server := servers.Etcd(t)
	for name, test := range map[string]func(t *testing.T, b declared, client *clientv3.Client){
		"conflict applies nothing":          testConflict,
		"batches at the limits are taken":   testLimits,
		"guards too long to be compared":    testLongGuard,
		"foreign names":                     testForeignNames,
		"lists are those of a model":        testListModel,
		"compaction during a list":          testListCompaction,
		"compaction during a watch":         testWatchCompaction,
		"watch of what comes and goes":      testWatchEphemeral,
		"watch is held up by no version":    testWatchVersionFromElsewhere,
		"a closed backend leaves no watch":  testCloseEndsNothingElse,
		"versions are those of the store":   testVersions,
		"a write past the batch limit fits": testWriteWithoutGuard,
	} {
		t.Run(name, func(t *testing.T) {
			path := strings.ReplaceAll(name, " ", "-") + "/"
			test(t, openAt(t, server.Address, func(c *Config) { c.Path = path }), raw(t, server.Address))
		})
	}
}

func testConflict(t *testing.T, b declared, _ *clientv3.Client) {
	v := mustCommit(t, b, storage.Guard{Key: "guard", Value: []byte("1")}, storage.Put("gone", []byte("x")))
	ops := []storage.Op{storage.Put("new", []byte("x")), storage.Delete("gone")}
	for name, guard := range map[string]storage.Guard{
		"create of what exists":   {Key: "guard", Value: []byte("2")},
		"absent at a version":     {Key: "other", Version: v, Value: []byte("2")},
		"another version":         {Key: "guard", Version: v + "0", Prev: []byte("1"), Value: []byte("2")},
		"another value before":    {Key: "guard", Version: v, Prev: []byte("other"), Value: []byte("2")},
		"equal value":             {Key: "guard", Value: []byte("1")},
		"same number, other text": {Key: "guard", Version: "0" + v, Prev: []byte("1"), Value: []byte("2")},
		"no number":               {Key: "guard", Version: "x", Value: []byte("2")},
		"revision of 0":           {Key: "other", Version: "0", Value: []byte("2")},
		"over int64":              {Key: "guard", Version: "9223372036854775808", Value: []byte("2")},
	} {
		_, err := b.Commit(t.Context(), guard, ops)
		if !errors.Is(err, storage.ErrConflict) || storage.OutcomeOf(err) != storage.Unapplied {
			t.Errorf("%s: %v, want ErrConflict", name, err)
		}
	}
	if _, err := b.Get(t.Context(), "new"); !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("a refused commit wrote an op: get gives %v", err)
	}
	if _, err := b.Get(t.Context(), "gone"); err != nil {
		t.Errorf("a refused commit deleted: %v", err)
	}
	if item, err := b.Get(t.Context(), "guard"); err != nil || string(item.Value) != "1" || item.Version != v {
		t.Errorf("the guard is %q at %q, %v, want %q at %q", item.Value, item.Version, err, "1", v)
	}
}

func testVersions(t *testing.T, b declared, client *clientv3.Client) {
	guard := storage.Guard{Key: "guard", Value: []byte("same")}
	guard.Version = mustCommit(t, b, guard, storage.Put("a", nil))
	guard.Prev = guard.Value
	second := mustCommit(t, b, guard, storage.Delete("a"), storage.Delete("never"))
	reply, err := client.Get(t.Context(), b.name("guard"))
	if err != nil || len(reply.Kvs) != 1 || formatVersion(reply.Kvs[0].ModRevision) != second {
		t.Errorf("the store has %v, %v, want one key at %q", reply.Kvs, err, second)
	}
	if err := b.Write(t.Context(), []storage.Op{storage.Delete("guard")}); err != nil {
		t.Fatal(err)
	}
	guard.Version, guard.Prev = "", nil
	if third := mustCommit(t, b, guard); third == second || third == guard.Version {
		t.Errorf("after a delete the version %q repeats", third)
	}
}

func testLimits(t *testing.T, b declared, _ *clientv3.Client) {
	for name, s := range shapes(b.limits) {
		if err := b.limits.CheckBatch(&s.guard, s.ops); err != nil {
			t.Fatalf("%s: the limits refuse the batch meant to be at them: %v", name, err)
		}
		guard := s.guard
		guard.Prev = bytes.Repeat([]byte{0xfb}, maxPrevBytes)
		guard.Version = mustCommit(t, b, storage.Guard{Key: guard.Key, Value: guard.Prev})
		guard.Prev, guard.Version = guard.Value, mustCommit(t, b, guard, s.ops...)
		last := s.ops[len(s.ops)-1]
		if item, err := b.Get(t.Context(), last.Key); err != nil || len(item.Value) != len(last.Value) {
			t.Errorf("%s: the last op has %d bytes, %v, want %d", name, len(item.Value), err, len(last.Value))
		}
		for i := range s.ops {
			s.ops[i] = storage.Delete(s.ops[i].Key)
		}
		mustCommit(t, b, guard, s.ops...)
		if err := b.Write(t.Context(), []storage.Op{storage.Delete(guard.Key)}); err != nil {
			t.Fatal(err)
		}
	}
}

type batch struct {
	guard storage.Guard
	ops   []storage.Op
}

// shapes returns the largest batches that the limits allow, of the kinds that take most
// room in a request.
func shapes(l storage.Limits) map[string]batch {
	return map[string]batch{
		"one value":      fill(l, 1, 8),
		"two values":     fill(l, 2, 8),
		"many values":    fill(l, l.MaxOps, 8),
		"long keys":      fill(l, l.MaxOps, l.MaxKeyBytes),
		"a key like its": fill(l, l.MaxOps, 500),
	}
}

// fill returns a batch of n puts and a guard that is exactly at MaxBatchBytes, or as near
// to it as n values of MaxValueBytes come.
func fill(l storage.Limits, n, keyBytes int) batch {
	room := l.MaxBatchBytes
	key := func(i int) string {
		k := fmt.Sprintf("%04d", i)
		k += strings.Repeat("k", keyBytes-len(k))
		room -= len(k)
		return k
	}
	b := batch{guard: storage.Guard{Key: key(0), Value: []byte{1}}}
	room -= len(b.guard.Value)
	for i := range n {
		b.ops = append(b.ops, storage.Put(key(i+1), nil))
	}
	for i := range b.ops {
		size := min(room/(n-i), l.MaxValueBytes)
		b.ops[i].Value = bytes.Repeat([]byte{0xfb}, size)
		room -= size
	}
	return b
}

// The limits hold for every path and number of operations.
func TestLimitsAreFitForTheHost(t *testing.T) {
	for _, path := range []string{"p/", strings.Repeat("p", maxPathBytes-1) + "/"} {
		for _, ops := range []int{minTxnOps, defaultTxnOps, maxTxnOps} {
			l := limits(path, ops)
			if err := l.Validate(); err != nil {
				t.Errorf("limits of %d ops: %v", ops, err)
			}
			guard := storage.Guard{Key: "g", Value: make([]byte, storage.MinValueBytes)}
			op := storage.Put(strings.Repeat("k", l.MaxKeyBytes), make([]byte, l.MaxValueBytes))
			if err := l.CheckBatch(&guard, []storage.Op{op}); err != nil {
				t.Errorf("%d ops: a value of MaxValueBytes beside a guard of MinValueBytes: %v", ops, err)
			}
		}
	}
}

// A guard as long as a value may be is not compared, and still fits.
func testLongGuard(t *testing.T, b declared, _ *clientv3.Client) {
	guard := storage.Guard{Key: "guard", Value: bytes.Repeat([]byte("v"), b.limits.MaxValueBytes)}
	guard.Version = mustCommit(t, b, guard)
	guard.Prev = guard.Value
	op := storage.Put("op", make([]byte, b.limits.MaxBatchBytes-len(guard.Key)-len(guard.Value)-len("op")))
	v := mustCommit(t, b, guard, op)
	if _, err := b.Commit(t.Context(), guard, nil); !errors.Is(err, storage.ErrConflict) {
		t.Errorf("commit at the version before %q: %v, want ErrConflict", v, err)
	}
}

func testWriteWithoutGuard(t *testing.T, b declared, _ *clientv3.Client) {
	s := fill(b.limits, b.limits.MaxOps, 8)
	if err := b.Write(t.Context(), s.ops); err != nil {
		t.Errorf("write at the limits: %v", err)
	}
	if err := b.Write(t.Context(), nil); err != nil {
		t.Errorf("write of nothing: %v", err)
	}
}

// Closing one Backend is nothing to another one on the same server.
func testCloseEndsNothingElse(t *testing.T, b declared, _ *clientv3.Client) {
	c := configured(b.members.preferred().endpoint)
	c.Path = b.path
	other, _, err := open(t.Context(), c, hclog.NewNullLogger())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.Commit(t.Context(), storage.Guard{Key: "guard", Value: []byte("1")}, nil); err != nil {
		t.Fatal(err)
	}
	if err := other.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	if _, err := b.Get(t.Context(), "guard"); err != nil {
		t.Errorf("get by the other backend: %v", err)
	}
}

// One revision has one version, or two states would look different that are the same.
func FuzzVersion(f *testing.F) {
	for _, v := range []string{"", "0", "1", "01", "+1", "-1", "9223372036854775807", "9223372036854775808", "1_0", " 1"} {
		f.Add(v)
	}
	f.Fuzz(func(t *testing.T, text string) {
		revision, ok := parseVersion(storage.Version(text))
		if ok && (revision < 1 || formatVersion(revision) != storage.Version(text)) {
			t.Errorf("%q is taken for revision %d, whose version is %q", text, revision, formatVersion(revision))
		}
	})
}
