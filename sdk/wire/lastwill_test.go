package wire

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"google.golang.org/grpc"

	"github.com/holdfast/holdfast/sdk/storage"
)

// recordStore is a store with one record, as the backend of a plugin sees it.
type recordStore struct {
	mu      sync.Mutex
	version int    // guarded by mu; 0: absent
	value   string // guarded by mu
	getErr  error  // guarded by mu; of the next Get
}

// apply is Commit without what fails on the way.
func (r *recordStore) apply(g storage.Guard) (storage.Version, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if g.Version != r.at() {
		return "", storage.ErrConflict
	}
	if r.version > 0 && string(g.Prev) != r.value {
		return "", fmt.Errorf("prev is %q, the value is %q", g.Prev, r.value)
	}
	r.version++
	r.value = string(g.Value)
	return r.at(), nil
}

// at returns the version. mu is held.
func (r *recordStore) at() storage.Version {
	if r.version == 0 {
		return ""
	}
	return storage.Version(fmt.Sprintf("v%d", r.version))
}

func (r *recordStore) now() (string, storage.Version) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.value, r.at()
}

// put is what another node does.
func (r *recordStore) put(value string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.version++
	r.value = value
}

func (r *recordStore) get(context.Context, string) (storage.Item, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.getErr != nil {
		err := r.getErr
		r.getErr = nil
		return storage.Item{}, err
	}
	if r.version == 0 {
		return storage.Item{}, storage.ErrNotFound
	}
	return storage.Item{Value: []byte(r.value), Version: r.at()}, nil
}

// host is one end of a plugin that watches its host, and the host's end.
type host struct {
	t       *testing.T
	record  *recordStore
	server  *Server
	client  *Client
	backend *Backend
	// commit, if not nil, is what becomes of a Commit; it calls apply for it to be carried out.
	commit func(value string, apply func() (storage.Version, error)) (storage.Version, error)
}

func newHost(t *testing.T) *host {
	h := &host{t: t, record: &recordStore{}}
	fake := &fakeBackend{get: h.record.get}
	fake.commit = func(_ context.Context, g storage.Guard, _ []storage.Op) (storage.Version, error) {
		apply := func() (storage.Version, error) { return h.record.apply(g) }
		if h.commit != nil {
			return h.commit(string(g.Value), apply)
		}
		return apply()
	}
	conn := dial(t, func(s *grpc.Server) {
		h.server = Register(s, Implementation{
			Description: Description{Name: "fake", Version: "1", SDK: "test", HA: true},
			Open: func(context.Context, []byte) (storage.Backend, storage.Capabilities, error) {
				return fake, storage.Capabilities{Limits: smallLimits}, nil
			},
			WatchesHost: true,
		})
	})
	h.client = NewClient(conn, "fake")
	var err error
	if h.backend, err = h.client.Configure(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	return h
}

// move makes the host's Commit of value at the version given, on top of prev.
func (h *host) move(at storage.Version, prev, value string) (storage.Version, error) {
	return h.backend.Commit(h.t.Context(), storage.Guard{Key: "record", Version: at, Prev: []byte(prev), Value: []byte(value)}, nil)
}

func (h *host) mustMove(at storage.Version, prev, value string) storage.Version {
	h.t.Helper()
	version, err := h.move(at, prev, value)
	if err != nil {
		h.t.Fatalf("commit %s: %v", value, err)
	}
	return version
}

func (h *host) arm() {
	h.t.Helper()
	if err := h.backend.Arm(h.t.Context(), "record", []byte("will")); err != nil {
		h.t.Fatalf("arm: %v", err)
	}
}

// die ends the host and checks what the record is afterwards.
func (h *host) die(want string) {
	h.t.Helper()
	committed, err := h.server.CommitWills(h.t.Context())
	value, version := h.record.now()
	if value != want || (committed == 1) != (want == "will") {
		h.t.Errorf("the record is %q at %s, %d wills were committed (%v), want %q", value, version, committed, err, want)
	}
}

var errLost = fmt.Errorf("%w: no answer", storage.ErrUnavailable)

// A will follows the host's last Commit, whatever became of that one, and nobody else's.
func TestLastWill(t *testing.T) {
	for name, test := range map[string]struct {
		live func(h *host) // what happens before the host dies
		want string        // the record afterwards
	}{
		"after a Commit": {func(h *host) {
			v := h.mustMove("", "", "a")
			h.arm()
			h.mustMove(v, "a", "b")
		}, "will"},
		"after an arm without a Commit since": {func(h *host) {
			h.mustMove("", "", "a")
			h.arm()
		}, "will"},
		"in a process that has seen no Commit of the host": {func(h *host) {
			h.record.put("a")
			h.arm()
		}, "a"},
		"armed only":  {func(h *host) { h.arm() }, ""},
		"never armed": {func(h *host) { h.mustMove("", "", "a") }, "a"},
		"disarmed": {func(h *host) {
			h.mustMove("", "", "a")
			h.arm()
			if err := h.backend.Disarm(h.t.Context()); err != nil {
				h.t.Error(err)
			}
		}, "a"},
		"closed": {func(h *host) {
			h.mustMove("", "", "a")
			h.arm()
			if err := h.backend.Close(); err != nil {
				h.t.Error(err)
			}
		}, "a"},
		"after a Commit whose answer was lost": {func(h *host) {
			v := h.mustMove("", "", "a")
			h.arm()
			h.commit = func(value string, apply func() (storage.Version, error)) (storage.Version, error) {
				version, err := apply()
				if value == "b" {
					return "", errLost
				}
				return version, err
			}
			_, _ = h.move(v, "a", "b")
		}, "will"},
		"after a Commit that was lost": {func(h *host) {
			v := h.mustMove("", "", "a")
			h.arm()
			h.commit = func(value string, apply func() (storage.Version, error)) (storage.Version, error) {
				if value == "b" {
					return "", errLost
				}
				return apply()
			}
			_, _ = h.move(v, "a", "b")
		}, "will"},
		"after the take-over by another node": {func(h *host) {
			h.mustMove("", "", "a")
			h.arm()
			h.record.put("other")
		}, "other"},
		"after a Commit that met another node's": {func(h *host) {
			v := h.mustMove("", "", "a")
			h.arm()
			h.record.put("other")
			_, _ = h.move(v, "a", "b")
		}, "other"},
		"after a Commit that was lost, and the take-over": {func(h *host) {
			v := h.mustMove("", "", "a")
			h.arm()
			h.commit = func(string, func() (storage.Version, error)) (storage.Version, error) { return "", errLost }
			_, _ = h.move(v, "a", "b")
			h.commit = nil
			h.record.put("other")
		}, "other"},
		"after the record was removed": {func(h *host) {
			h.mustMove("", "", "a")
			h.arm()
			h.commit = func(string, func() (storage.Version, error)) (storage.Version, error) {
				return "", storage.ErrConflict
			}
			h.record.mu.Lock()
			defer h.record.mu.Unlock()
			h.record.version, h.record.value = 0, ""
		}, ""},
		"when a late Commit gets in before it": {func(h *host) {
			v := h.mustMove("", "", "a")
			h.arm()
			h.commit = func(value string, apply func() (storage.Version, error)) (storage.Version, error) {
				if value == "b" {
					return "", errLost // and is still under way
				}
				h.commit = nil
				late := storage.Guard{Key: "record", Version: v, Prev: []byte("a"), Value: []byte("b")}
				if _, err := h.record.apply(late); err != nil {
					h.t.Error(err)
				}
				return apply()
			}
			_, _ = h.move(v, "a", "b")
		}, "will"},
		"when the answer to it is lost": {func(h *host) {
			h.mustMove("", "", "a")
			h.arm()
			h.commit = func(_ string, apply func() (storage.Version, error)) (storage.Version, error) {
				_, err := apply()
				return "", errors.Join(errLost, err)
			}
		}, "will"},
		"when the store is away for a moment": {func(h *host) {
			h.mustMove("", "", "a")
			h.arm()
			h.record.getErr = errLost
			h.commit = func(string, func() (storage.Version, error)) (storage.Version, error) {
				h.commit = nil
				return "", storage.NotApplied(errLost)
			}
		}, "will"},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t)
			test.live(h)
			h.die(test.want)
		})
	}
}

// The answer to an old Commit may come after that to a newer one.
func TestLastWillFollowsTheNewestCommit(t *testing.T) {
	var w lastWill
	w.arm(1, "record", []byte("will"))
	commit := func(at storage.Version, value string) func(storage.Version, error) {
		return w.begin(storage.Guard{Key: "record", Version: at, Value: []byte(value)})
	}
	first := commit("", "a")
	again := commit("", "a")
	again("", storage.ErrConflict)
	commit("v1", "b")("v2", nil)
	first("v1", nil)
	if will, sure, armed := w.successor(); will.Version != "v2" || string(will.Prev) != "b" || !sure || !armed {
		t.Errorf("got %+v, sure %t, armed %t, want the successor of v2", will, sure, armed)
	}
	for i := range 10 * maxOpenCommits {
		commit("v2", fmt.Sprint(i))("", errLost)
	}
	if n := len(w.commits.open); n > maxOpenCommits {
		t.Errorf("%d Commits are remembered, want at most %d", n, maxOpenCommits)
	}
	if !w.wrote([]byte("b")) || !w.wrote([]byte(fmt.Sprint(10*maxOpenCommits-1))) || w.wrote([]byte("a")) {
		t.Error("the last Commit and those since are the host's own, and no older one")
	}
	commit("v2", "c")("v3", nil)
	if _, sure, _ := w.successor(); !sure {
		t.Error("what began before a Commit that succeeded is still in doubt")
	}
	commit("v3", "d")("", storage.NotApplied(errLost))
	if will, sure, _ := w.successor(); !sure || will.Version != "v3" {
		t.Errorf("got %+v, sure %t: a Commit that was not applied changes nothing", will, sure)
	}
	w.begin(storage.Guard{Key: "other"})("v9", nil)
	if _, _, armed := w.successor(); armed {
		t.Error("a will for one record follows the Commit of another")
	}
}

func TestLateArmIsIgnored(t *testing.T) {
	var w lastWill
	w.begin(storage.Guard{Key: "record", Value: []byte("a")})("v1", nil)
	w.arm(3, "record", []byte("new"))
	w.arm(1, "record", []byte("old"))
	w.disarm(2)
	if will, _, armed := w.successor(); !armed || string(will.Value) != "new" {
		t.Errorf("got %q, armed %t, want the newest", will.Value, armed)
	}
	w.disarm(4)
	w.arm(3, "record", []byte("new"))
	if _, _, armed := w.successor(); armed {
		t.Error("armed by a message that was overtaken by a disarm")
	}
}

func TestWillsAreTakenByThoseWhoCanKeepThem(t *testing.T) {
	client, _ := serveFake(t, &fakeBackend{}, smallLimits)
	b, err := client.Configure(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Arm(t.Context(), "record", []byte("will")); !errors.Is(err, storage.ErrUnsupported) {
		t.Errorf("arm in a process that does not watch its host: %v, want ErrUnsupported", err)
	}
	h := newHost(t)
	if err := h.backend.Arm(t.Context(), "record", make([]byte, smallLimits.MaxValueBytes+1)); !errors.Is(err, storage.ErrTooLarge) {
		t.Errorf("arm with a value that the store does not take: %v, want ErrTooLarge", err)
	}
	if d, err := h.client.Describe(t.Context()); err != nil || !d.LastWill {
		t.Errorf("describe: %+v, %v", d, err)
	}
}

// A store that hangs holds up the end of the process for WillTimeout and no longer.
func TestWillsAreBounded(t *testing.T) {
	h := newHost(t)
	h.mustMove("", "", "a")
	h.arm()
	released := make(chan struct{})
	defer close(released)
	h.commit = func(string, func() (storage.Version, error)) (storage.Version, error) {
		<-released
		return "", errLost
	}
	if _, err := h.server.CommitWills(t.Context()); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want an end after %v", err, WillTimeout)
	}
}
