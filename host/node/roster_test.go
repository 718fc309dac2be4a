package node

import (
	"encoding/json"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/holdfast/holdfast/host/api"
	"github.com/holdfast/holdfast/host/barrier"
	"github.com/holdfast/holdfast/host/clock"
	"github.com/holdfast/holdfast/host/cluster"
	"github.com/holdfast/holdfast/host/ha"
	"github.com/holdfast/holdfast/host/internal/fakestorage"
	"github.com/holdfast/holdfast/host/seal"
	"github.com/holdfast/holdfast/host/version"
)

func older() version.Set {
	speaks := version.Spoken()
	speaks.Record--
	return speaks
}

// What all members speak counts those that are down.
func TestRoster(t *testing.T) {
	newer := version.Spoken()
	newer.Record++
	member := func(name string, speaks version.Set) cluster.Member {
		return cluster.Member{InstanceID: name + "1", APIAddress: "http://" + name, Version: "1.0.0", Speaks: speaks}
	}
	r := roster{}
	r.present([]cluster.Member{member("a", version.Spoken()), member("b", older()), member("c", newer)})
	if got := r.common(); got != older() {
		t.Errorf("common = %+v, want %+v", got, older())
	}
	if got, want := r.behind(), []string{"http://b (1.0.0)"}; !slices.Equal(got, want) {
		t.Errorf("behind = %q, want %q", got, want)
	}
	r.present([]cluster.Member{member("a", version.Spoken()), member("c", newer)}) // b is down
	if got := r.common(); got != older() {
		t.Errorf("common while b is down = %+v, want %+v", got, older())
	}
	// b comes back upgraded, while its former instance is not known to be gone.
	r.present([]cluster.Member{member("b", version.Spoken()), member("b", older())})
	if got := r.common(); got != older() {
		t.Errorf("common with both instances of b = %+v, want %+v", got, older())
	}
	r.present([]cluster.Member{member("b", version.Spoken())})
	if got := r.common(); got != version.Spoken() {
		t.Errorf("common = %+v, want %+v", got, version.Spoken())
	}
	if got := r.behind(); got != nil {
		t.Errorf("behind = %q, want none", got)
	}
}

func TestRosterForgets(t *testing.T) {
	s := &session{members: cluster.NewMembers(), self: cluster.Member{APIAddress: "http://self", Speaks: version.Spoken()}}
	now := clock.Now()
	r := roster{"http://short": {Speaks: older()}, "http://long": {Speaks: older()}}
	seen := map[string]clock.Instant{"http://short": now.Add(time.Minute - forgetAfter), "http://long": now.Add(-time.Minute - forgetAfter)}
	s.muster(r, seen)
	if _, ok := r["http://long"]; ok || len(r) != 2 {
		t.Errorf("roster = %v, want this node and the one that is away for a short time", r)
	}
}

// A member that does not speak a format keeps the cluster from it, also while it is down.
func TestFormatWaitsForAllMembers(t *testing.T) {
	for name, test := range map[string]struct {
		away version.Set // what a member speaks that is down
		want int
	}{
		"of the release before": {older(), 1},
		"of this release":       {version.Spoken(), version.Record},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t, 2)
			c.init()
			plain, err := json.Marshal(roster{"http://away": {Release: "0.9.0", Speaks: test.away}})
			if err != nil {
				t.Fatal(err)
			}
			sealed, err := c.barrier().Seal(rosterKey, plain)
			if err != nil {
				t.Fatal(err)
			}
			c.storage.Put(rosterKey, sealed)
			for _, n := range c.nodes {
				c.unseal(n)
			}
			known := func() (r roster) {
				item, _ := c.storage.Item(rosterKey)
				if plain, err := c.barrier().Open(rosterKey, item.Value); err != nil || json.Unmarshal(plain, &r) != nil {
					t.Fatalf("the roster can not be read: %v", err)
				}
				return r
			}
			c.await("all are in the roster", func() bool { return len(known()) == 3 })
			active := c.nodes[0]
			if test.want > 1 {
				c.await("the new format is used", func() bool { return active.Status().InForce.Record == test.want })
			}
			<-time.After(4 * timing.Beat) // in which it could be raised
			if got := active.Status().InForce.Record; got != test.want {
				t.Errorf("the record has format %d, want %d", got, test.want)
			}
			for _, m := range active.Status().Members {
				if m.Speaks != version.Spoken() {
					t.Errorf("%s speaks %+v", m.APIAddress, m.Speaks)
				}
			}
		})
	}
}

// barrier returns one with the keyring in the store.
func (c *testCluster) barrier() *barrier.Barrier {
	c.t.Helper()
	rootKey, err := seal.Combine(c.shares[:2], 2)
	if err != nil {
		c.t.Fatal(err)
	}
	item, _ := c.storage.Item(keyringKey)
	keyring, err := barrier.OpenKeyring(rootKey, keyringKey, item.Value)
	if err != nil {
		c.t.Fatal(err)
	}
	return barrier.New(keyring)
}

// A node that is too old for the cluster stays sealed, and says what to do.
func TestUnsealOfANodeThatIsTooOld(t *testing.T) {
	c := newActive(t, 1)
	newer, err := c.barrier().Seal(ha.RecordKey, []byte(`{"format":99,"holder":{"api":"http://newer","release":"9.0.0"}}`))
	if err != nil {
		t.Fatal(err)
	}
	node := c.open()
	c.nodes[0].conn.FailAll(fakestorage.Refuse)
	c.storage.Put(ha.RecordKey, newer)
	if err := node.Unseal(t.Context(), c.shares[0]); err != nil {
		t.Fatal(err)
	}
	err = node.Unseal(t.Context(), c.shares[1])
	if !errors.Is(err, api.ErrTooOld) || !errors.Is(err, ha.ErrNewerFormat) {
		t.Errorf("unseal = %v", err)
	}
	if !node.Status().Sealed {
		t.Error("it is unsealed")
	}
	t.Log(err)
}
