package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfast/holdfast/host/version"
	"github.com/holdfast/holdfast/test/audit"
	"github.com/holdfast/holdfast/test/harness"
)

// TestRollingUpgrade replaces three nodes of the release before one by one, under load. No
// request through another node fails, nothing is lost, the record's format changes only
// when all nodes know the new one, and up to then there is a way back.
func TestRollingUpgrade(t *testing.T) {
	previous := harness.Previous(t)
	onEveryStore(t, func(t *testing.T, b backend) {
		s, stanza := b.start(t)
		var nodes []*harness.Node
		for i := range 3 {
			nodes = append(nodes, harness.NewNodeOf(t, harness.Spec{
				Name: fmt.Sprintf("n%d", i+1), Storage: stanza, Program: previous,
				Config: patient,
			}))
		}
		u := &upgrade{t: t, Cluster: harness.Form(t, nodes...), previous: previous}
		store, err := audit.New(u.UnsealKey)
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		var auditing sync.WaitGroup
		auditing.Go(func() { store.Run(ctx, b.follow(s)) })
		defer auditing.Wait()
		defer stop()
		u.run()
		stop()
		auditing.Wait()
		store.Report(t)
		if got, want := store.Formats(), []int{1, version.Record}; !slices.Equal(got, want) {
			t.Errorf("the formats of the record in the store were %v, want %v", got, want)
		}
	})
}

// upgrade is a cluster on its way from one release to the next.
type upgrade struct {
	*harness.Cluster
	t        *testing.T
	previous string // the program of the release before
	acked    []int
	loads    int
}

func (u *upgrade) run() {
	u.Mount("kv", "1")
	last := u.Active()
	standbys := u.Standbys()
	u.wantFormat("before", 1)

	u.replace(standbys[0], "")
	u.wantFormat("one of three upgraded", 1)
	u.replace(standbys[0], u.previous)
	u.wantFormat("gone back", 1)
	u.replace(standbys[0], "")
	u.replace(standbys[1], "")
	u.wantFormat("two of three upgraded", 1)
	if active := u.Active(); active != last {
		u.t.Errorf("%s became active although only standbys were replaced", active.Name)
	}
	u.replace(last, "")
	harness.Eventually(u.t, "all speak the new format", func() error {
		if got := u.format(); got != version.Record {
			return fmt.Errorf("the record has format %d, want %d", got, version.Record)
		}
		return nil
	})
	u.wantFormat("all upgraded", version.Record)

	u.refuseToGoBack(u.Standbys()[0])
	for _, n := range u.Nodes {
		checkWritten(u.t, n.Client(u.RootToken), u.acked)
	}
}

// replace stops a node with SIGTERM and starts it as another program, while clients write
// through the others.
func (u *upgrade) replace(n *harness.Node, program string) {
	u.t.Helper()
	var writers []*writer
	ctx, stop := context.WithCancel(u.t.Context())
	var writing sync.WaitGroup
	defer writing.Wait()
	defer stop()
	for _, other := range u.Nodes {
		if other == n {
			continue
		}
		u.loads++
		w := &writer{client: other.Client(u.RootToken), first: u.loads * 100_000}
		writers = append(writers, w)
		writing.Go(func() { w.run(ctx) })
	}
	since := time.Time{}
	await := func() {
		for _, w := range writers {
			harness.Eventually(u.t, "writes succeed", w.atLeast(since, 20))
		}
		since = time.Now()
	}
	await()
	if code := n.Stop(); code != 0 {
		u.t.Errorf("%s: exit code %d after SIGTERM, want 0", n.Name, code)
	}
	await()
	n.Program = program
	n.Start()
	u.Unseal(n)
	u.AwaitMembers(len(u.Nodes))
	await()
	stop()
	writing.Wait()
	for _, w := range writers {
		if w.refused+w.unknown+len(w.errs) > 0 {
			u.t.Errorf("%d requests were refused, %d unknown, and these failed while %s was replaced: %v", w.refused, w.unknown, n.Name, w.errs)
		}
		u.acked = append(u.acked, w.acked...)
		u.t.Logf("%s replaced: %d writes through another node, the longest pause %v", n.Name, len(w.acked), w.gap(w.times[0]).Round(time.Millisecond))
	}
}

// refuseToGoBack starts a node as the release before, which can not read the record any more.
func (u *upgrade) refuseToGoBack(n *harness.Node) {
	u.t.Helper()
	if code := n.Stop(); code != 0 {
		u.t.Errorf("%s: exit code %d after SIGTERM, want 0", n.Name, code)
	}
	n.Program = u.previous
	n.Start()
	want := fmt.Sprintf("version %d and this node knows versions up to %d: upgrade this node", version.Record, version.Record-1)
	harness.Eventually(u.t, n.Name+" refuses to be unsealed and says why", func() error {
		_, err := n.Client("").Sys().UnsealWithContext(u.t.Context(), u.UnsealKey)
		switch {
		case err == nil:
			return errors.New("it takes the key")
		case !strings.Contains(err.Error(), want): // not yet: the store may be late
			return fmt.Errorf("%w; want %q in it", err, want)
		}
		u.t.Logf("refused: %v", err)
		return nil
	})
	if status, err := n.Client("").Sys().SealStatusWithContext(u.t.Context()); err != nil || !status.Sealed {
		u.t.Errorf("%s: sealed: %+v, %v", n.Name, status, err)
	}
	n.Stop()
	n.Program = ""
	n.Start()
	u.Unseal(n)
	u.AwaitMembers(len(u.Nodes))
}

// wantFormat fails the test unless the record has the format, by what the active node says.
func (u *upgrade) wantFormat(when string, want int) {
	u.t.Helper()
	if got := u.format(); got != want {
		u.t.Errorf("%s: the record has format %d, want %d", when, got, want)
	}
}

// format returns the format of the record that is in use.
func (u *upgrade) format() int {
	u.t.Helper()
	var status struct {
		InForce version.Set `json:"in_force"`
	}
	harness.Eventually(u.t, "the active node says what is in use", func() error {
		resp, err := u.Active().Client(u.RootToken).Logical().ReadRawWithContext(u.t.Context(), "sys/ha-status")
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		return json.NewDecoder(resp.Body).Decode(&status)
	})
	return status.InForce.Record
}
