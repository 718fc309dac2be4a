package compat

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/vault/api"

	"github.com/holdfast/holdfast/test/harness"
)

func testTokens(t *testing.T, c *harness.Cluster) {
	ctx := t.Context()
	for _, n := range c.Nodes {
		self, err := n.Client(c.RootToken).Auth().Token().LookupSelfWithContext(ctx)
		if err != nil {
			t.Fatalf("%s: look the root token up: %v", n.Name, err)
		}
		policies, err := self.TokenPolicies()
		if err != nil || !slices.Equal(policies, []string{"root"}) || self.Data["id"] != c.RootToken || self.Data["accessor"] == "" {
			t.Errorf("%s: the root token is %v with policies %v, %v", n.Name, self.Data, policies, err)
		}
		for _, token := range []string{"", "wrong", c.RootToken + "x", strings.ToUpper(c.RootToken)} {
			client := n.Client(token)
			_, err := client.Auth().Token().LookupSelfWithContext(ctx)
			wantError(t, n.Name+": look a wrong token up", err, http.StatusForbidden, "permission denied")
			_, err = client.KVv1("one").Get(ctx, "a")
			wantError(t, n.Name+": read with a wrong token", err, http.StatusForbidden, "permission denied")
			err = client.KVv1("one").Put(ctx, "a", map[string]any{"k": "v"})
			wantError(t, n.Name+": write with a wrong token", err, http.StatusForbidden, "permission denied")
			_, err = client.KVv1("nothing is mounted here").Get(ctx, "a")
			wantError(t, n.Name+": read outside of mounts with a wrong token", err, http.StatusForbidden, "permission denied")
			wantError(t, n.Name+": step down with a wrong token", client.Sys().StepDown(), http.StatusForbidden, "permission denied")
			wantError(t, n.Name+": seal with a wrong token", client.Sys().Seal(), http.StatusForbidden, "permission denied")
		}
	}
}

func testStatus(t *testing.T, c *harness.Cluster) {
	active := c.Active()
	for _, n := range c.Nodes {
		sys, isActive := n.Client(c.RootToken).Sys(), n == active
		health, err := sys.Health()
		if err != nil || !health.Initialized || health.Sealed || health.Standby == isActive || health.ClusterID == "" || health.Version == "" {
			t.Errorf("%s: health is %+v, %v; want a standby: %v", n.Name, health, err, !isActive)
		}
		code := map[bool]int{true: http.StatusOK, false: http.StatusTooManyRequests}[isActive]
		for _, method := range []string{http.MethodGet, http.MethodHead} {
			if resp := request(t, method, n, "sys/health", "", ""); resp.StatusCode != code {
				t.Errorf("%s: %s sys/health is %d, want %d", n.Name, method, resp.StatusCode, code)
			}
		}
		leader, err := sys.Leader()
		if err != nil || !leader.HAEnabled || leader.IsSelf != isActive || leader.ActiveTime.IsZero() == isActive ||
			leader.LeaderAddress != "http://"+active.Address || !strings.HasPrefix(leader.LeaderClusterAddress, "https://127.0.0.1:") {
			t.Errorf("%s: leader is %+v, %v; want %s", n.Name, leader, err, active.Address)
		}
		checkHAStatus(t, c, n, active)
	}
}

// checkHAStatus: every node names the same members in the same order.
func checkHAStatus(t *testing.T, c *harness.Cluster, n, active *harness.Node) {
	t.Helper()
	status, err := n.Client(c.RootToken).Sys().HAStatus()
	if err != nil {
		t.Fatalf("%s: ha-status: %v", n.Name, err)
	}
	var got, want []string
	for _, member := range status.Nodes {
		got = append(got, member.APIAddress)
		isActive := member.APIAddress == "http://"+active.Address
		if member.ActiveNode != isActive || (member.LastEcho == nil) != isActive || member.Hostname == "" || member.Version == "" {
			t.Errorf("%s: member %+v; want it active: %v", n.Name, member, isActive)
		}
	}
	for _, other := range c.Nodes {
		want = append(want, "http://"+other.Address)
	}
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("%s: members are %q, want %q", n.Name, got, want)
	}
}

// testRedirect: a client that asks not to be forwarded is sent to the active node.
func testRedirect(t *testing.T, c *harness.Cluster) {
	ctx, active := t.Context(), c.Active()
	const noForwarding = "X-Vault-No-Request-Forwarding"
	for _, n := range c.Standbys() {
		resp := request(t, http.MethodGet, n, "one/a%20b/?list=true", c.RootToken, noForwarding+": true")
		if want := "http://" + active.Address + "/v1/one/a%20b/?list=true"; resp.StatusCode != http.StatusTemporaryRedirect ||
			resp.Header.Get("Location") != want {
			t.Errorf("%s: got %d to %q, want 307 to %q", n.Name, resp.StatusCode, resp.Header.Get("Location"), want)
		}
		client := n.Client(c.RootToken)
		client.AddHeader(noForwarding, "true")
		data := map[string]any{"through": n.Name}
		if err := client.KVv1("one").Put(ctx, "redirected", data); err != nil {
			t.Fatalf("%s: write by a redirect: %v", n.Name, err)
		}
		got, err := client.KVv1("one").Get(ctx, "redirected")
		checkData(t, n.Name+": read by a redirect", got, err, data)
	}
	if resp := request(t, http.MethodGet, active, "one/redirected", c.RootToken, noForwarding+": true"); resp.StatusCode != http.StatusOK {
		t.Errorf("the active node answers %d, want 200", resp.StatusCode)
	}
}

func testStrictReads(t *testing.T, c *harness.Cluster) {
	ctx := t.Context()
	for _, writer := range c.Nodes {
		data := map[string]any{"from": writer.Name}
		if err := writer.Client(c.RootToken).KVv1("one").Put(ctx, "strict", data); err != nil {
			t.Fatal(err)
		}
		for _, reader := range c.Nodes {
			client := reader.Client(c.RootToken)
			client.AddHeader("X-Holdfast-Consistency", "strict")
			got, err := client.KVv1("one").Get(ctx, "strict")
			checkData(t, "strict, from "+writer.Name+" to "+reader.Name, got, err, data)
		}
		resp := request(t, http.MethodGet, writer, "one/strict", c.RootToken, "X-Holdfast-Consistency: perhaps")
		if resp.StatusCode != http.StatusBadRequest {
			t.Errorf("%s: an unknown consistency is answered with %d, want 400", writer.Name, resp.StatusCode)
		}
	}
}

// testDefaultClient: a client that knows one address, a standby's, and whose settings
// are its author's.
func testDefaultClient(t *testing.T, c *harness.Cluster) {
	ctx := t.Context()
	for _, n := range c.Standbys() {
		config := api.DefaultConfig()
		if config.Error != nil {
			t.Fatal(config.Error)
		}
		config.Address = "http://" + n.Address
		client, err := api.NewClient(config)
		if err != nil {
			t.Fatal(err)
		}
		client.SetToken(c.RootToken)
		data := map[string]any{"through": n.Name}
		if err := client.KVv1("one").Put(ctx, "default", data); err != nil {
			t.Fatal(err)
		}
		got, err := client.KVv1("one").Get(ctx, "default")
		checkData(t, n.Name, got, err, data)
		if mounts, err := client.Sys().ListMounts(); err != nil || mounts["two/"] == nil {
			t.Errorf("%s: mounts are %v, %v", n.Name, mounts, err)
		}
	}
}

// request sends a plain HTTP request, follows no redirect, and returns the answer, whose
// body is in memory; an empty one if there was none, which is an error of the test. header
// is "Name: value", or empty. It may be called from any goroutine.
func request(t *testing.T, method string, n *harness.Node, path, token, header string) *http.Response {
	t.Helper()
	resp, err := send(t.Context(), method, "http://"+n.Address+"/v1/"+path, token, header)
	if err != nil {
		t.Errorf("%s %s on %s: %v", method, path, n.Name, err)
		return &http.Response{Body: http.NoBody}
	}
	return resp
}

func send(ctx context.Context, method, url, token, header string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("X-Vault-Token", token)
	if name, value, ok := strings.Cut(header, ": "); ok {
		req.Header.Set(name, value)
	}
	client := &http.Client{
		Timeout:       time.Minute,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	resp.Body = io.NopCloser(bytes.NewReader(body))
	return resp, err
}
