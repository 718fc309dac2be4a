package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfast/holdfast/test/harness"
)

// harm is what somebody with access to the store does to the term record.
type harm struct {
	name string
	// made returns what takes the place of the record, which was older a while ago; nil deletes it.
	made func(older []byte) []byte
	want string // how a node names it
}

func harms() []harm {
	return []harm{
		{"deleted", func([]byte) []byte { return nil }, "is missing from the store"},
		{"emptied", func([]byte) []byte { return []byte{} }, "can not be read"},
		{"overwritten", func([]byte) []byte { return []byte("not a record of anybody's") }, "can not be read"},
		{"truncated", func(older []byte) []byte { return older[:len(older)/2] }, "can not be read"},
		{"a bit flipped", func(older []byte) []byte { older[len(older)-1] ^= 1; return older }, "can not be read"},
		{"an older one", func(older []byte) []byte { return older }, "went back"},
	}
}

// swift makes nodes that answer soon when none is active. They replace a dead one after 2.4 s.
const swift = "\nha {\n  lease = \"2s\"\n  beat = \"200ms\"\n  hold = \"300ms\"\n}\n"

// TestDamagedRecord harms the term record, through the store's own client, while a cluster of
// three serves a writer. Every node refuses all data, and says why and what to do; no node makes
// a new record. With the operator's word, the command that the error names, all go on, and
// nothing that was acknowledged is lost. Putting back what was there does as well.
func TestDamagedRecord(t *testing.T) { onEveryStore(t, damagedRecord) }

func damagedRecord(t *testing.T, b backend) {
	t.Parallel() // most of its time is waiting
	s, stanza := b.start(t)
	c := harness.NewCluster(t, 3, stanza+swift)
	c.Mount("kv", "1")
	record := termRecord(t, s)

	w := &writer{client: c.Nodes[0].Client(c.RootToken)}
	ctx, stop := context.WithCancel(t.Context())
	var writing sync.WaitGroup
	writing.Go(func() { w.run(ctx) })
	defer writing.Wait()
	defer stop()

	for i, h := range harms() {
		t.Run(h.name, func(t *testing.T) {
			older := record.get()
			harness.Eventually(t, "writes succeed", w.atLeast(time.Now(), 10))
			record.put(h.made(slices.Clone(older)))
			allRefuse(t, c, h.want)
			found := record.get()
			stillRefuse(t, c, 4*time.Second) // longer than it takes to replace a dead node
			if now := record.get(); !slices.Equal(now, found) {
				t.Fatal("a node has changed the damaged record without the operator's word")
			}
			acceptRestore(t, c.Nodes[i%3], c.RootToken)
			accepted := time.Now()
			harness.Eventually(t, "writes succeed again", w.atLeast(accepted, 10))
			t.Logf("first write acknowledged %v after the command", w.firstAfter(accepted).Round(time.Millisecond))
			if got := recordOf(t, c.Nodes[0]).Generation; got != uint64(i+1) {
				t.Errorf("generation %d, want %d", got, i+1)
			}
			c.AwaitMembers(3)
		})
	}
	stop()
	writing.Wait()
	t.Run("put back", func(t *testing.T) { putBack(t, c, record) })
	t.Logf("%d writes acknowledged, %d refused (503), %d unknown (504)", len(w.acked), w.refused, w.unknown)
	for _, err := range w.errs {
		t.Errorf("a write failed in another way than 503 or 504: %v", err)
	}
	checkWritten(t, c.Nodes[1].Client(c.RootToken), w.acked)
	historyTells(t, c, len(harms()))
}

// putBack overwrites the record and puts back what was there, which needs no command.
func putBack(t *testing.T, c *harness.Cluster, record rawRecord) {
	t.Helper()
	generation := recordOf(t, c.Nodes[0]).Generation
	for _, n := range c.Nodes {
		n.Pause()
	}
	var was []byte
	still := time.Now()
	harness.Eventually(t, "nothing is on its way to the store", func() error {
		if now := record.get(); !slices.Equal(now, was) {
			was, still = now, time.Now()
		}
		if time.Since(still) < time.Second {
			return errors.New("the record has changed")
		}
		return nil
	})
	record.put([]byte("garbage"))
	for _, n := range c.Nodes {
		n.Resume()
	}
	allRefuse(t, c, "can not be read")
	record.put(was)
	c.AwaitMembers(3)
	if got := recordOf(t, c.Nodes[0]); got.Generation != generation || got.Error != "" {
		t.Errorf("after it was put back: %+v", got)
	}
}

// recordStatus is what the status endpoints say of the term record.
type recordStatus struct {
	Role       string    `json:"role"`
	Generation uint64    `json:"generation"`
	Error      string    `json:"record_error"`
	LastChange time.Time `json:"last_change"`
	LastReason string    `json:"last_reason"`
}

// recordOf asks a node's sys/leader, which needs no token and must answer at once; sys/health
// says the same.
func recordOf(t *testing.T, n *harness.Node) recordStatus {
	t.Helper()
	var answers [2]recordStatus
	for i, path := range []string{"leader", "health?standbycode=200"} {
		raw := rawRequest(t, n.Address, http.MethodGet, "/v1/sys/"+path, "")
		if raw.status != http.StatusOK {
			t.Fatalf("%s: sys/%s: %d %s", n.Name, path, raw.status, raw.body)
		}
		if err := json.Unmarshal([]byte(raw.body), &answers[i]); err != nil {
			t.Fatal(err)
		}
	}
	return answers[0]
}

// allRefuse waits until every node refuses data and says why, and what to do, in its log too.
func allRefuse(t *testing.T, c *harness.Cluster, why string) {
	t.Helper()
	for _, n := range c.Nodes {
		harness.Eventually(t, n.Name+" says what happened to the record", func() error { return refuses(t, n, c.RootToken, why) })
		if got := recordOf(t, n); got.Role != "standby" || got.LastReason == "" || got.LastChange.IsZero() {
			t.Errorf("%s: %+v", n.Name, got)
		}
		harness.Eventually(t, n.Name+" says so in its log", func() error { return logsDamage(n) })
	}
}

// stillRefuse asks all nodes for data for some time: none may answer.
func stillRefuse(t *testing.T, c *harness.Cluster, during time.Duration) {
	t.Helper()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for until := time.Now().Add(during); time.Now().Before(until); <-tick.C {
		for _, n := range c.Nodes {
			if err := refuses(t, n, c.RootToken, ""); err != nil {
				t.Error(err)
			}
		}
	}
	for _, n := range c.Nodes {
		if err := logsDamage(n); err != nil {
			t.Error(err)
		}
	}
}

func logsDamage(n *harness.Node) error {
	if !strings.Contains(n.Log(), "the term record can not be used") {
		return fmt.Errorf("%s: it is not in the log", n.Name)
	}
	return nil
}

// refuses returns nil if n answers a read and a write with a 503 that names the damage and the
// command, and its status does.
func refuses(t *testing.T, n *harness.Node, token, why string) error {
	t.Helper()
	for _, method := range []string{http.MethodGet, http.MethodPut} {
		body := ""
		if method == http.MethodPut {
			body = `{"n":"refused"}`
		}
		got := rawRequest(t, n.Address, method, "/v1/kv/w/refused", body, "X-Vault-Token: "+token)
		if got.status != http.StatusServiceUnavailable || got.header.Get("Retry-After") == "" {
			return fmt.Errorf("%s: %s: status %d %s", n.Name, method, got.status, got.body)
		}
		if !strings.Contains(got.body, why) || !strings.Contains(got.body, "holdfast operator accept-restore") {
			return fmt.Errorf("%s: %s: %s", n.Name, method, got.body)
		}
	}
	if e := recordOf(t, n).Error; !strings.Contains(e, why) || !strings.Contains(e, "holdfast operator accept-restore") {
		return fmt.Errorf("%s: its status says %q", n.Name, e)
	}
	return nil
}

// acceptRestore gives the operator's word, with the command that the errors name: again if
// it is too early for it (503) or not known whether it was heard (504).
func acceptRestore(t *testing.T, n *harness.Node, token string) {
	t.Helper()
	unknown := false
	harness.Eventually(t, "accept-restore on "+n.Name, func() error {
		stdout, stderr, code := runClient(t, n, token, "operator", "accept-restore")
		switch {
		case code == 0 && strings.Contains(stdout, "Success!"):
			return nil
		case strings.Contains(stderr, "Code: 504."):
			unknown = true
		case strings.Contains(stderr, "Code: 503."):
		case unknown && strings.Contains(stderr, "nothing to accept"): // it was heard
			return nil
		default:
			t.Fatalf("accept-restore on %s: exit code %d, %s%s", n.Name, code, stdout, stderr)
		}
		return fmt.Errorf("exit code %d, %s%s", code, stdout, stderr)
	})
}

// historyTells checks that the history of terms names every acceptance.
func historyTells(t *testing.T, c *harness.Cluster, accepted int) {
	t.Helper()
	harness.Eventually(t, fmt.Sprintf("the history names %d acceptances", accepted), func() error {
		stdout, stderr, code := runClient(t, c.Nodes[2], c.RootToken, "operator", "members", "-history")
		if got := strings.Count(stdout, "an operator accepted the store as it was: the term record"); code != 0 || got < accepted {
			return fmt.Errorf("%d; exit code %d\n%s%s", got, code, stdout, stderr)
		}
		return nil
	})
}
