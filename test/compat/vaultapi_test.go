// Package compat holds real clients of Vault against Holdfast: three servers on one real
// Consul, and the clients as their authors ship them.
package compat

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/vault/api"

	"github.com/holdfast/holdfast/test/harness"
	"github.com/holdfast/holdfast/test/servers"
)

func TestMain(m *testing.M) { harness.Main(m) }

func consulStanza(s *servers.ConsulServer) string {
	return fmt.Sprintf("storage \"consul\" {\n  address = %q\n}", s.Address)
}

// patient lets a node stay active, and requests wait, on a machine that is busy for seconds.
const patient = "\nha {\n  lease = \"10s\"\n  hold = \"25s\"\n}\n"

// TestVaultClient runs what Vault's Go client offers against a cluster that stays as it is.
func TestVaultClient(t *testing.T) {
	c := harness.NewCluster(t, 3, consulStanza(servers.Consul(t))+patient)
	c.Mount("one", "1")
	c.Mount("two", "2")
	for _, tc := range []struct {
		name string
		test func(*testing.T, *harness.Cluster)
	}{
		{"banner", testBanner},
		{"every address", testEveryAddress},
		{"mounts", testMounts},
		{"kv version 1", testKVv1},
		{"kv version 2", testKVv2},
		{"kv version 2 versions", testKVv2Versions},
		{"kv version 2 metadata", testKVv2Metadata},
		{"tokens", testTokens},
		{"status", testStatus},
		{"redirect", testRedirect},
		{"strict reads", testStrictReads},
		{"default client on a standby", testDefaultClient},
	} {
		t.Run(tc.name, func(t *testing.T) { tc.test(t, c) })
	}
}

// testBanner: the lines that programs read, each once and exactly.
func testBanner(t *testing.T, c *harness.Cluster) {
	for _, n := range c.Nodes {
		values := map[string][]string{}
		for line := range strings.Lines(n.Output()) {
			if name, value, ok := strings.Cut(strings.TrimSuffix(line, "\n"), ": "); ok {
				values[name] = append(values[name], value)
			}
		}
		for name, want := range map[string]string{
			"Storage":          "consul (HA available)",
			"Api Address":      "http://" + n.Address,
			"Plugin Directory": harness.Binaries(t) + "/plugins",
		} {
			if got := values[name]; !slices.Equal(got, []string{want}) {
				t.Errorf("%s: %s: got %q, want it once as %q", n.Name, name, got, want)
			}
		}
		if got := values["Cluster Address"]; len(got) != 1 || !strings.HasPrefix(got[0], "https://127.0.0.1:") {
			t.Errorf("%s: Cluster Address: got %q, want it once, an https URL", n.Name, got)
		}
		if got := values["Last Will"]; len(got) != 1 || got[0] != "yes" && got[0] != "no" {
			t.Errorf("%s: Last Will: got %q, want yes or no, once", n.Name, got)
		}
		if got := values["Version"]; len(got) != 1 || got[0] == "" {
			t.Errorf("%s: Version: got %q, want it once", n.Name, got)
		}
	}
}

// testEveryAddress: what was written, replaced or deleted through one node is seen
// through every node at once.
func testEveryAddress(t *testing.T, c *harness.Cluster) {
	ctx := t.Context()
	for _, writer := range c.Nodes {
		w := writer.Client(c.RootToken)
		for i, value := range []string{"first", "second"} {
			data := map[string]any{"from": writer.Name, "value": value}
			if err := w.KVv1("one").Put(ctx, "addresses/"+writer.Name, data); err != nil {
				t.Fatalf("write kv version 1 through %s: %v", writer.Name, err)
			}
			if _, err := w.KVv2("two").Put(ctx, "addresses/"+writer.Name, data, api.WithCheckAndSet(i)); err != nil {
				t.Fatalf("write kv version 2 through %s: %v", writer.Name, err)
			}
			for _, reader := range c.Nodes {
				r := reader.Client(c.RootToken)
				one, err := r.KVv1("one").Get(ctx, "addresses/"+writer.Name)
				checkData(t, "version 1, from "+writer.Name+" to "+reader.Name, one, err, data)
				two, err := r.KVv2("two").Get(ctx, "addresses/"+writer.Name)
				checkData(t, "version 2, from "+writer.Name+" to "+reader.Name, two, err, data)
			}
		}
		if err := w.KVv1("one").Delete(ctx, "addresses/"+writer.Name); err != nil {
			t.Fatalf("delete through %s: %v", writer.Name, err)
		}
		for _, reader := range c.Nodes {
			_, err := reader.Client(c.RootToken).KVv1("one").Get(ctx, "addresses/"+writer.Name)
			if !errors.Is(err, api.ErrSecretNotFound) {
				t.Errorf("read through %s what was deleted through %s: got %v, want not found", reader.Name, writer.Name, err)
			}
		}
	}
}

func testMounts(t *testing.T, c *harness.Cluster) {
	ctx, client := t.Context(), c.Standbys()[0].Client(c.RootToken)
	sys := client.Sys()
	input := &api.MountInput{
		Type: "kv", Description: "of the test", Options: map[string]string{"version": "2"},
		Config: api.MountConfigInput{DefaultLeaseTTL: "1h", MaxLeaseTTL: "24h"},
	}
	if err := sys.Mount("deep/path", input); err != nil {
		t.Fatalf("mount: %v", err)
	}
	wantError(t, "mount where a mount is", sys.Mount("deep/path", input), http.StatusBadRequest, "already in use")
	wantError(t, "mount an unknown type", sys.Mount("other", &api.MountInput{Type: "transit"}), http.StatusBadRequest, "transit")

	mounts, err := sys.ListMounts()
	if err != nil {
		t.Fatalf("list mounts: %v", err)
	}
	if got, want := slices.Sorted(maps.Keys(mounts)), []string{"deep/path/", "one/", "two/"}; !slices.Equal(got, want) {
		t.Errorf("mounts: got %q, want %q", got, want)
	}
	m, err := sys.GetMount("deep/path")
	if err != nil {
		t.Fatalf("get the mount: %v", err)
	}
	if !reflect.DeepEqual(m, mounts["deep/path/"]) {
		t.Errorf("the mount is %+v by itself and %+v in the list", m, mounts["deep/path/"])
	}
	if m.Type != "kv" || m.Description != "of the test" || m.Options["version"] != "2" ||
		m.Config.DefaultLeaseTTL != 3600 || m.Config.MaxLeaseTTL != 86400 || m.Accessor == "" || m.UUID == "" {
		t.Errorf("the mount is not as it was asked for: %+v", m)
	}

	tuned := "tuned"
	//nolint:staticcheck // deprecated, but existing programs call it: unlike its successor it sends empty values
	if err := sys.TuneMount("deep/path", api.MountConfigInput{Description: &tuned, DefaultLeaseTTL: "2h", MaxLeaseTTL: "24h"}); err != nil {
		t.Fatalf("tune: %v", err)
	}
	config, err := sys.MountConfig("deep/path")
	if err != nil {
		t.Fatalf("read what was tuned: %v", err)
	}
	if config.DefaultLeaseTTL != 7200 || config.MaxLeaseTTL != 86400 {
		t.Errorf("tuned lease TTLs: got %d and %d, want 7200 and 86400", config.DefaultLeaseTTL, config.MaxLeaseTTL)
	}
	if m, err := sys.GetMount("deep/path"); err != nil || m.Description != tuned || m.Options["version"] != "2" {
		t.Errorf("the tuned mount: got %+v, %v", m, err)
	}

	if _, err := client.KVv2("deep/path").Put(ctx, "a", map[string]any{"k": "v"}); err != nil {
		t.Fatalf("write: %v", err)
	}
	if err := sys.Unmount("deep/path"); err != nil {
		t.Fatalf("unmount: %v", err)
	}
	_, err = client.KVv2("deep/path").Put(ctx, "a", map[string]any{"k": "v"})
	wantError(t, "write where nothing is mounted", err, http.StatusNotFound, "no handler for route")
	if err := sys.Mount("deep/path", input); err != nil {
		t.Fatalf("mount again: %v", err)
	}
	if got, err := client.KVv2("deep/path").Get(ctx, "a"); !errors.Is(err, api.ErrSecretNotFound) {
		t.Errorf("a new mount shows data of an old one: got %v, %v", got, err)
	}
	if err := sys.Unmount("deep/path"); err != nil {
		t.Fatalf("unmount: %v", err)
	}
}

func checkData(t *testing.T, what string, secret *api.KVSecret, err error, want map[string]any) {
	t.Helper()
	switch {
	case err != nil:
		t.Errorf("%s: %v", what, err)
	case !reflect.DeepEqual(secret.Data, want):
		t.Errorf("%s: got %v, want %v", what, secret.Data, want)
	}
}

// wantError checks that err is an answer with that status and text.
func wantError(t *testing.T, what string, err error, status int, text string) {
	t.Helper()
	var response *api.ResponseError
	if !errors.As(err, &response) || response.StatusCode != status || !strings.Contains(err.Error(), text) {
		t.Errorf("%s: got error %v, want status %d and %q in it", what, err, status, text)
	}
}
