package compat

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/hashicorp/vault/api"

	"github.com/holdfast/holdfast/test/harness"
	"github.com/holdfast/holdfast/test/servers"
)

// TestInitUnseal goes the way of an operator with several key shares.
func TestInitUnseal(t *testing.T) {
	stanza := consulStanza(servers.Consul(t))
	first, second := harness.NewNode(t, "n1", stanza), harness.NewNode(t, "n2", stanza)
	sys := first.Client("").Sys()
	checkUninitialized(t, first)
	_, err := sys.Init(&api.InitRequest{SecretShares: 2, SecretThreshold: 3})
	wantError(t, "more shares needed than there are", err, http.StatusBadRequest, "threshold")
	_, err = sys.Init(&api.InitRequest{SecretShares: 1, SecretThreshold: 1, PGPKeys: []string{"key"}})
	wantError(t, "keys encrypted with PGP", err, http.StatusBadRequest, "PGP")

	keys, err := sys.Init(&api.InitRequest{SecretShares: 5, SecretThreshold: 3})
	if err != nil {
		t.Fatalf("init: %v", err)
	}
	if len(keys.Keys) != 5 || len(keys.KeysB64) != 5 || keys.RootToken == "" {
		t.Fatalf("init returned %d and %d keys and a root token of %d bytes", len(keys.Keys), len(keys.KeysB64), len(keys.RootToken))
	}
	for _, n := range []*harness.Node{first, second} {
		harness.Eventually(t, n.Name+" knows that the cluster is initialized", func() error {
			status, err := n.Client("").Sys().SealStatus()
			if err == nil && (!status.Initialized || !status.Sealed || status.N != 5 || status.T != 3 || status.StorageType != "consul") {
				err = fmt.Errorf("seal status is %+v", status)
			}
			return err
		})
		_, err := n.Client("").Sys().Init(&api.InitRequest{SecretShares: 1, SecretThreshold: 1})
		wantError(t, "second init on "+n.Name, err, http.StatusBadRequest, "already initialized")
	}
	checkUnseal(t, first, keys)
	checkUnseal(t, second, keys)
	for _, n := range []*harness.Node{first, second} {
		if _, err := n.Client(keys.RootToken).Auth().Token().LookupSelf(); err != nil {
			t.Errorf("%s: the root token does not work: %v", n.Name, err)
		}
	}
}

func checkUninitialized(t *testing.T, n *harness.Node) {
	t.Helper()
	sys := n.Client("").Sys()
	if initialized, err := sys.InitStatus(); err != nil || initialized {
		t.Errorf("init status before init: got %v, %v, want false", initialized, err)
	}
	if health, err := sys.Health(); err != nil || health.Initialized || !health.Sealed {
		t.Errorf("health before init: got %+v, %v", health, err)
	}
	if resp := request(t, http.MethodGet, n, "sys/health", "", ""); resp.StatusCode != http.StatusNotImplemented {
		t.Errorf("health before init is %d, want 501", resp.StatusCode)
	}
	_, err := sys.Unseal(hex.EncodeToString(make([]byte, 33)))
	wantError(t, "unseal before init", err, http.StatusBadRequest, "")
	_, err = n.Client("t").KVv1("one").Get(t.Context(), "a")
	wantError(t, "read before init", err, http.StatusServiceUnavailable, "Vault is sealed")
}

// checkUnseal unseals n on a way with detours.
func checkUnseal(t *testing.T, n *harness.Node, keys *api.InitResponse) {
	t.Helper()
	sys := n.Client("").Sys()
	give := func(key string, progress int) string {
		t.Helper()
		status, err := sys.Unseal(key)
		if err != nil {
			t.Fatalf("%s: unseal: %v", n.Name, err)
		}
		if !status.Sealed || status.Progress != progress || status.Nonce == "" {
			t.Errorf("%s: after a share: %+v; want sealed, progress %d and a nonce", n.Name, status, progress)
		}
		return status.Nonce
	}
	_, err := sys.Unseal("not a key")
	wantError(t, "a key that is none", err, http.StatusBadRequest, "share")

	nonce := give(keys.Keys[0], 1)
	if again := give(keys.KeysB64[0], 1); again != nonce { // the same share in another form
		t.Errorf("%s: the nonce changed from %s to %s", n.Name, nonce, again)
	}
	give(keys.KeysB64[4], 2)
	status, err := sys.ResetUnsealProcess()
	if err != nil || status.Progress != 0 || status.Nonce != "" || !status.Sealed {
		t.Errorf("%s: after a reset: %+v, %v", n.Name, status, err)
	}

	// Three shares of which one is wrong: only the last one shows it.
	give(keys.Keys[1], 1)
	give(wrongShare(t, keys.Keys[2]), 2)
	_, err = sys.Unseal(keys.Keys[3])
	wantError(t, "shares that do not fit", err, http.StatusBadRequest, "at least one is wrong")

	if next := give(keys.Keys[4], 1); next == nonce {
		t.Errorf("%s: a new attempt has the nonce of an old one", n.Name)
	}
	give(keys.KeysB64[2], 2)
	for range 2 { // the second time nothing is left to do
		status, err = sys.Unseal(keys.Keys[0])
		if err != nil || status.Sealed || status.Progress != 0 {
			t.Fatalf("%s: after the last share: %+v, %v", n.Name, status, err)
		}
	}
}

// wrongShare returns a share of the same number that belongs to another secret.
func wrongShare(t *testing.T, share string) string {
	t.Helper()
	raw, err := hex.DecodeString(share)
	if err != nil {
		t.Fatal(err)
	}
	raw[1] ^= 1
	return base64.StdEncoding.EncodeToString(raw)
}

// TestStepDown asks each kind of node for a step-down: the active node hands over either way.
func TestStepDown(t *testing.T) {
	c := harness.NewCluster(t, 3, consulStanza(servers.Consul(t))+patient)
	c.Mount("one", "1")
	for i, through := range []func() *harness.Node{c.Active, func() *harness.Node { return c.Standbys()[0] }} {
		before, asked := c.Active(), through()
		if err := asked.Client(c.RootToken).Sys().StepDown(); err != nil {
			t.Fatalf("step down through %s: %v", asked.Name, err)
		}
		// No pause, no retry: requests are held while nobody is active.
		data := map[string]any{"n": fmt.Sprint(i)}
		if err := asked.Client(c.RootToken).KVv1("one").Put(t.Context(), "a", data); err != nil {
			t.Errorf("write after the step-down: %v", err)
		}
		after := c.Active()
		if after == before {
			t.Errorf("%s is active before and after a step-down through %s", before.Name, asked.Name)
		}
		for _, n := range c.Nodes {
			got, err := n.Client(c.RootToken).KVv1("one").Get(t.Context(), "a")
			checkData(t, "read through "+n.Name, got, err, data)
		}
		c.AwaitMembers(3)
		for _, n := range c.Nodes {
			checkHAStatus(t, c, n, after)
		}
	}
}

// TestSeal seals one node after the other; the cluster goes on until the last one.
func TestSeal(t *testing.T) {
	c := harness.NewCluster(t, 3, consulStanza(servers.Consul(t))+patient)
	c.Mount("one", "1")
	data := map[string]any{"k": "v"}
	if err := c.Active().Client(c.RootToken).KVv1("one").Put(t.Context(), "a", data); err != nil {
		t.Fatal(err)
	}
	open := slices.Clone(c.Nodes)
	seal := func(n *harness.Node) {
		t.Helper()
		if err := n.Client(c.RootToken).Sys().Seal(); err != nil {
			t.Fatalf("seal %s: %v", n.Name, err)
		}
		checkSealed(t, n, c.RootToken)
		open = slices.DeleteFunc(open, func(other *harness.Node) bool { return other == n })
		for _, other := range open {
			got, err := other.Client(c.RootToken).KVv1("one").Get(t.Context(), "a")
			checkData(t, "read through "+other.Name+" after "+n.Name+" was sealed", got, err, data)
		}
	}
	active, standby := c.Active(), c.Standbys()[0]
	seal(standby)
	if got := c.Active(); got != active {
		t.Errorf("%s is active after a standby was sealed, want still %s", got.Name, active.Name)
	}
	c.AwaitMembers(2)
	seal(active)
	c.AwaitMembers(1)
	seal(c.Active())
	for _, n := range c.Nodes {
		c.Unseal(n)
	}
	c.AwaitMembers(3)
	got, err := standby.Client(c.RootToken).KVv1("one").Get(t.Context(), "a")
	checkData(t, "read after all were sealed and unsealed", got, err, data)
}

func checkSealed(t *testing.T, n *harness.Node, token string) {
	t.Helper()
	client := n.Client(token)
	if health, err := client.Sys().Health(); err != nil || !health.Initialized || !health.Sealed {
		t.Errorf("%s: health of a sealed node: %+v, %v", n.Name, health, err)
	}
	if resp := request(t, http.MethodGet, n, "sys/health", "", ""); resp.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("%s: health of a sealed node is %d, want 503", n.Name, resp.StatusCode)
	}
	_, err := client.Sys().Leader()
	wantError(t, n.Name+": leader of a sealed node", err, http.StatusServiceUnavailable, "Vault is sealed")
	_, err = client.KVv1("one").Get(t.Context(), "a")
	wantError(t, n.Name+": read on a sealed node", err, http.StatusServiceUnavailable, "Vault is sealed")
}

// TestNobodyActive: while no node can answer, requests are held and then answered with a
// 503 that says when to come again; strict reads too while the active node only lacks the store.
func TestNobodyActive(t *testing.T) {
	consul := servers.Consul(t)
	c := harness.NewCluster(t, 3, consulStanza(consul))
	c.Mount("one", "1")
	active, standbys := c.Active(), c.Standbys()
	if err := active.Client(c.RootToken).KVv1("one").Put(t.Context(), "a", map[string]any{"k": "v"}); err != nil {
		t.Fatal(err)
	}

	consul.Pause()
	var requests sync.WaitGroup
	for _, n := range []*harness.Node{active, standbys[0]} {
		requests.Go(func() {
			resp := request(t, http.MethodGet, n, "one/a", c.RootToken, "X-Holdfast-Consistency: strict")
			checkUnavailable(t, "strict read without the store through "+n.Name, resp)
		})
	}
	requests.Wait()
	active.KillBoth()
	for _, n := range standbys {
		requests.Go(func() {
			resp := request(t, http.MethodGet, n, "one/a", c.RootToken, "")
			checkUnavailable(t, "read without an active node through "+n.Name, resp)
		})
		leader, err := n.Client("").Sys().Leader()
		if err != nil || leader.IsSelf {
			t.Errorf("%s: leader without an active node: %+v, %v", n.Name, leader, err)
		}
	}
	requests.Wait()
	consul.Resume()

	harness.Eventually(t, "reads succeed again", func() error {
		_, err := standbys[0].Client(c.RootToken).KVv1("one").Get(t.Context(), "a")
		return err
	})
}

func checkUnavailable(t *testing.T, what string, resp *http.Response) {
	t.Helper()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Error(err)
	}
	if resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" ||
		!strings.Contains(string(body), "errors") {
		t.Errorf("%s: got %d, Retry-After %q, %s; want 503, Retry-After and errors",
			what, resp.StatusCode, resp.Header.Get("Retry-After"), body)
	}
}
