package api_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/holdfast/holdfast/host/api"
	"github.com/holdfast/holdfast/host/auth"
	"github.com/holdfast/holdfast/host/internal/fakestore"
	"github.com/holdfast/holdfast/host/rotation"
)

// node is a fake of the node the HTTP server runs on: requests go straight to Logical.
type node struct {
	logical *api.Logical
	token   string                                            // the only one that may seal
	route   func(context.Context, *api.Request) *api.Response // instead of logical, if set
	reload  error                                             // of ReloadPlugin

	mu     sync.Mutex // guards what follows
	status api.Status
	init   func(api.InitRequest) (api.InitResult, error)
	shares [][]byte
	resets int
}

func (n *node) Status() api.Status {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.status
}

func (n *node) setStatus(change func(*api.Status)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	change(&n.status)
}

func (n *node) Initialized(context.Context) (bool, error) { return n.Status().Initialized, nil }

func (n *node) Init(_ context.Context, req api.InitRequest) (api.InitResult, error) {
	return n.init(req)
}

func (n *node) Unseal(_ context.Context, share []byte) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.shares = append(n.shares, append([]byte(nil), share...))
	n.status.Progress = len(n.shares)
	return nil
}

func (n *node) ResetUnseal() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.resets++
}

func (n *node) Seal(_ context.Context, token string) error {
	if token != n.token {
		return api.ErrPermission
	}
	n.setStatus(func(s *api.Status) { s.Sealed, s.Role = true, api.RoleNone })
	return nil
}

func (n *node) AcceptRestore(_ context.Context, token string) error {
	if token != n.token {
		return api.ErrPermission
	}
	n.setStatus(func(s *api.Status) { s.RecordError = "" })
	return nil
}

func (n *node) StoragePlugin(_ context.Context, token string) (api.StoragePlugin, error) {
	if token != n.token {
		return api.StoragePlugin{}, api.ErrPermission
	}
	return api.StoragePlugin{Type: "inmem", Version: "1.0.0", Running: true, PID: 42, Restarts: 3}, nil
}

func (n *node) ReloadPlugin(ctx context.Context, token string) (api.StoragePlugin, error) {
	if n.reload != nil {
		return api.StoragePlugin{}, n.reload
	}
	return n.StoragePlugin(ctx, token)
}

func (n *node) Route(ctx context.Context, req *api.Request) *api.Response {
	if n.route != nil {
		return n.route(ctx, req)
	}
	return n.logical.Handle(ctx, req)
}

// fixture is a server over a fake node and a fake store.
type fixture struct {
	*testing.T
	node    *node
	store   *fakestore.Store
	logical *api.Logical
	server  *httptest.Server
	token   string
	keys    *keys
	stepped chan string // targets of step-downs
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{T: t, store: fakestore.New(), token: auth.NewToken(), stepped: make(chan string, 1)}
	records, err := auth.InitRecords(f.token, time.Unix(1_700_000_000, 0))
	if err != nil {
		t.Fatal(err)
	}
	for key, value := range records {
		if err := f.store.Put(t.Context(), key, value); err != nil {
			t.Fatal(err)
		}
	}
	f.store.RequireBegin = true
	f.keys = &keys{term: 1, policy: rotation.DefaultPolicy()}
	since := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	f.node = &node{token: f.token, status: api.Status{
		Version: "0.1.0", StorageType: "inmem", Initialized: true, Shares: 5, Threshold: 3,
		ClusterName: "test", ClusterID: "id", HA: true, Role: api.RoleActive, ActiveSince: since,
		LeaderAPIAddr: "http://active:8200", LeaderCluster: "https://active:8201", Epoch: 7, LeaseRemaining: time.Second,
		Members: []api.Member{
			{Hostname: "b", InstanceID: "2", APIAddress: "http://b:8200", LastEcho: since, Version: "0.1.0"},
			{Hostname: "a", InstanceID: "1", APIAddress: "http://a:8200", Active: true, Version: "0.1.0"},
		},
	}}
	f.logical = api.NewLogical(api.LogicalConfig{
		Store: f.store, Logger: hclog.NewNullLogger(), Status: f.node.Status, Keys: f.keys,
		StepDown: func(_ context.Context, target string) error {
			if target == "nobody" {
				return api.ErrUnknownTarget
			}
			f.stepped <- target
			return nil
		},
	})
	f.node.logical = f.logical
	if err := f.logical.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.server = httptest.NewServer(api.New(api.Config{Node: f.node, Logger: hclog.NewNullLogger()}))
	t.Cleanup(f.server.Close)
	return f
}

// result is an answer as a client sees it.
type result struct {
	status int
	header http.Header
	body   string
	json   map[string]any
}

// do sends method and target with the root token; headers are name, value, name, ...
func (f *fixture) do(method, target, body string, headers ...string) result {
	f.Helper()
	req, err := http.NewRequestWithContext(f.Context(), method, f.server.URL+target, strings.NewReader(body))
	if err != nil {
		f.Fatal(err)
	}
	if body == "" {
		req.Body = nil
	}
	req.Header.Set("X-Vault-Token", f.token)
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(req)
	if err != nil {
		f.Fatalf("%s %s: %v", method, target, err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		f.Fatal(err)
	}
	got := result{status: resp.StatusCode, header: resp.Header, body: strings.TrimSpace(string(raw))}
	if len(raw) > 0 {
		if err := json.Unmarshal(raw, &got.json); err != nil {
			f.Fatalf("%s %s: body is not JSON: %s", method, target, raw)
		}
	}
	return got
}

// ok sends a request that must be answered with status.
func (f *fixture) ok(status int, method, target, body string, headers ...string) result {
	f.Helper()
	got := f.do(method, target, body, headers...)
	if got.status != status {
		f.Errorf("%s %s = %d %s, want %d", method, target, got.status, got.body, status)
	}
	return got
}

// at returns the member of a decoded answer at path, "data.metadata.version".
func (r result) at(path string) any {
	var x any = r.json
	for name := range strings.SplitSeq(path, ".") {
		members, ok := x.(map[string]any)
		if !ok {
			return nil
		}
		x = members[name]
	}
	return x
}
