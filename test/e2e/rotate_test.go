package e2e

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/vault/api"

	"github.com/holdfast/holdfast/test/audit"
	"github.com/holdfast/holdfast/test/harness"
)

// TestRotationAndKill kills the active node around a rotation of the encryption key, again
// and again, while a client writes. Whatever was acknowledged can be read, by nodes that
// followed and by nodes that were unsealed anew, and the store holds nothing that its
// keyring does not open.
func TestRotationAndKill(t *testing.T) {
	onEveryStore(t, rotationAndKill)
}

func rotationAndKill(t *testing.T, b backend) {
	s, stanza := b.start(t)
	c := harness.NewCluster(t, 3, stanza)
	c.Mount("kv", "1")
	store, err := audit.New(c.UnsealKey)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stopAudit := context.WithCancel(t.Context())
	var auditing sync.WaitGroup
	auditing.Go(func() { store.Run(ctx, b.follow(s)) })
	defer auditing.Wait()
	defer stopAudit()

	var acked []int
	rotations := 0
	for round, delay := range []time.Duration{0, 2 * time.Millisecond, 8 * time.Millisecond, harness.Patience} {
		active, standbys := c.Active(), c.Standbys()
		before := keyTerm(t, standbys[0].Client(c.RootToken))
		w := &writer{client: standbys[0].Client(c.RootToken), first: round * 100_000}
		ctx, stop := context.WithCancel(t.Context())
		var busy sync.WaitGroup
		busy.Go(func() { w.run(ctx) })
		harness.Eventually(t, "writes succeed", w.atLeast(time.Time{}, 10))

		var rotated error
		answered := make(chan struct{})
		busy.Go(func() {
			defer close(answered)
			rotated = active.Client(c.RootToken).Sys().RotateWithContext(context.WithoutCancel(ctx))
		})
		select { // in the last round it is the answer that comes first
		case <-answered:
		case <-time.After(delay):
		}
		if round%2 == 0 {
			active.Kill()
		} else {
			active.KillBoth()
		}
		harness.Eventually(t, "writes succeed again", w.atLeast(time.Now(), 10))
		stop()
		busy.Wait()

		for _, err := range w.errs {
			t.Errorf("a write failed in another way than 503 or 504: %v", err)
		}
		acked = append(acked, w.acked...)
		after := keyTerm(t, standbys[1].Client(c.RootToken))
		t.Logf("killed at most %v after the rotation was asked for: answer %v; term %d before, %d after", delay, rotated, before, after)
		if after != before && after != before+1 || rotated == nil && after != before+1 {
			t.Errorf("term %d before and %d after; the rotation's answer was %v", before, after, rotated)
		}
		if rotated == nil {
			rotations++
		}
		active.Start()
		c.Unseal(active)
		c.AwaitMembers(3)
		checkWritten(t, active.Client(c.RootToken), acked)
	}
	if rotations == 0 {
		t.Error("no rotation was acknowledged: nothing was tested")
	}
	stopAudit()
	auditing.Wait()
	store.Report(t)
}

func keyTerm(t *testing.T, client *api.Client) int {
	t.Helper()
	key, err := client.Sys().KeyStatusWithContext(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return key.Term
}

// TestRotateByHand rotates as an operator does.
func TestRotateByHand(t *testing.T) {
	c := harness.NewCluster(t, 1, `storage "inmem" {}`)
	node := c.Nodes[0]
	out := operate(t, node, c.RootToken, "operator", "rotate")
	if !strings.Contains(out, "Success!") || !strings.Contains(out, "Key Term            2") {
		t.Errorf("operator rotate:\n%s", out)
	}
	client := node.Client(c.RootToken)
	status, err := client.Sys().KeyStatusWithContext(t.Context())
	if err != nil || status.Term != 2 || time.Since(status.InstallTime) > time.Hour {
		t.Errorf("key-status: %+v, %v", status, err)
	}
	operate(t, node, c.RootToken, "write", "sys/rotate/config", "interval=2160h", "enabled=true")
	config, err := client.Logical().ReadWithContext(t.Context(), "sys/rotate/config")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"enabled": "true", "interval": "2160h0m0s", "max_operations": "3865470566"}
	for name, value := range want {
		if got := fmt.Sprint(config.Data[name]); got != value {
			t.Errorf("rotate/config: %s is %s, want %s", name, got, value)
		}
	}
}

// operate runs the command line against a node and returns what it printed.
func operate(t *testing.T, n *harness.Node, token string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), holdfast(t), args...)
	cmd.Env = []string{quickExit, "HOLDFAST_ADDR=http://" + n.Address, "HOLDFAST_TOKEN=" + token}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("holdfast %q: %v\n%s", args, err, out)
	}
	return string(out)
}
