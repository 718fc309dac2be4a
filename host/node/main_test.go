package node

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"go.uber.org/goleak"

	"github.com/holdfast/holdfast/host/api"
	"github.com/holdfast/holdfast/host/ha"
	"github.com/holdfast/holdfast/host/internal/fakestorage"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// timing is short, so that tests are.
var timing = ha.Timing{Lease: 400 * time.Millisecond, Beat: 60 * time.Millisecond}

const rootToken = "root"

// testCluster is a store and the nodes on it, in this process.
type testCluster struct {
	t       *testing.T
	storage *fakestorage.Store
	nodes   []*testNode
	shares  [][]byte
	opened  atomic.Int32
}

// testNode is a Node and what it runs on.
type testNode struct {
	*Node
	t    *testing.T
	conn *fakestorage.Node
	api  http.Handler
}

// newCluster returns a cluster of n sealed nodes that nobody has initialised.
func newCluster(t *testing.T, n int) *testCluster {
	t.Helper()
	c := &testCluster{t: t, storage: fakestorage.New()}
	t.Cleanup(c.storage.Wait)
	for range n {
		c.nodes = append(c.nodes, c.open())
	}
	return c
}

// newActive returns a cluster of n unsealed nodes with a version 2 mount at kv/. The first
// node is active, and the others know it.
func newActive(t *testing.T, n int) *testCluster {
	t.Helper()
	c := newCluster(t, n)
	c.init()
	for _, node := range c.nodes {
		c.unseal(node)
		c.await("an active node", func() bool { return node.Status().LeaderAPIAddr != "" })
	}
	first := c.nodes[0]
	c.await("the first node is active", func() bool { return first.Status().Role == api.RoleActive })
	c.await("all nodes are attached", func() bool { return len(first.Status().Members) == n })
	resp := first.request("POST", "sys/mounts/kv", `{"type":"kv","options":{"version":"2"}}`)
	if resp.Status != http.StatusNoContent {
		t.Fatalf("mount kv/: %d %s", resp.Status, resp.Body)
	}
	return c
}

func (c *testCluster) open(edit ...func(*Config, *fakestorage.Node)) *testNode {
	c.t.Helper()
	n, err := c.tryOpen(edit...)
	if err != nil {
		c.t.Fatal(err)
	}
	return n
}

func (c *testCluster) tryOpen(edit ...func(*Config, *fakestorage.Node)) (*testNode, error) {
	c.t.Helper()
	name := fmt.Sprintf("node-%d", c.opened.Add(1))
	bind := freeAddress(c.t)
	conn := c.storage.Connect()
	cfg := Config{
		Storage: conn, StorageType: "fake", Version: "test", Hostname: name,
		APIAddress: "http://" + name, ClusterAddress: "https://" + bind, ClusterBind: bind,
		Timing: timing, Hold: 3 * time.Second, MaxRequestSize: 1 << 20, RootToken: rootToken, Logger: logger(c.t).Named(name),
	}
	for _, f := range edit {
		f(&cfg, conn)
	}
	node, err := Open(c.t.Context(), cfg)
	if err != nil {
		return nil, err
	}
	n := &testNode{Node: node, t: c.t, conn: conn}
	n.api = api.New(api.Config{Node: node, Logger: cfg.Logger})
	c.t.Cleanup(func() {
		conn.Heal()
		ctx, cancel := context.WithTimeout(context.WithoutCancel(c.t.Context()), 5*time.Second)
		defer cancel()
		n.Close(ctx)
	})
	return n, nil
}

func (c *testCluster) init() {
	c.t.Helper()
	result, err := c.nodes[0].Init(c.t.Context(), api.InitRequest{Shares: 3, Threshold: 2})
	if err != nil {
		c.t.Fatal(err)
	}
	c.shares = result.Shares
}

func (c *testCluster) unseal(n *testNode) {
	c.t.Helper()
	for _, share := range c.shares[:2] {
		if err := n.Unseal(c.t.Context(), share); err != nil {
			c.t.Fatal(err)
		}
	}
}

// await polls until ok.
func (c *testCluster) await(what string, ok func() bool) {
	c.t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			c.t.Fatalf("not within 30 s: %s", what)
		}
		<-time.After(time.Millisecond)
	}
}

// request sends a request of a client that waits 10 s.
func (n *testNode) request(method, path, body string) *api.Response {
	ctx, cancel := context.WithTimeout(n.t.Context(), 10*time.Second)
	defer cancel()
	return n.requestWithin(ctx, method, path, body)
}

func (n *testNode) requestWithin(ctx context.Context, method, path, body string) *api.Response {
	return n.Route(ctx, &api.Request{Method: method, Path: path, Token: rootToken, Body: []byte(body)})
}

// put writes one secret and returns the status.
func (n *testNode) put(key, value string) int {
	return n.request("POST", "kv/data/"+key, `{"data":{"v":"`+value+`"}}`).Status
}

// get returns the status and body of a read.
func (n *testNode) get(key string) (int, string) {
	resp := n.request("GET", "kv/data/"+key, "")
	return resp.Status, string(resp.Body)
}

// holds reports whether a read of key answers with value.
func (n *testNode) holds(key, value string) bool {
	status, body := n.get(key)
	return status == http.StatusOK && strings.Contains(body, `"v":"`+value+`"`)
}

// http sends a request to the HTTP interface and returns its status.
func (n *testNode) http(path string) int {
	w := httptest.NewRecorder()
	n.api.ServeHTTP(w, httptest.NewRequestWithContext(n.t.Context(), http.MethodGet, path, nil))
	return w.Code
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// logger shows the log of a test if HOLDFAST_TEST_LOG is set.
func logger(t *testing.T) hclog.Logger {
	if os.Getenv("HOLDFAST_TEST_LOG") == "" {
		return hclog.NewNullLogger()
	}
	return hclog.New(&hclog.LoggerOptions{Level: hclog.Debug, Output: t.Output()})
}
