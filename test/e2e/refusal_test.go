package e2e

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/vault/api"

	"github.com/holdfast/holdfast/test/harness"
	"github.com/holdfast/holdfast/test/process"
	"github.com/holdfast/holdfast/test/servers"
)

// startServer starts a server with a configuration, and returns it and the file that holds it.
func startServer(t *testing.T, config string) (d *daemon, file string) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "holdfast.hcl")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	return startDaemon(t, nil, holdfast(t), "server", "-config="+file), file
}

// checkRefused checks that a server ends within harness.Patience with exit code 1, without a
// banner, and with one error that says all of wants. Looking for another node on a store
// without high availability takes 2.4 s of it.
func checkRefused(t *testing.T, d *daemon, wants ...string) {
	t.Helper()
	d.awaitExit(1)
	if out := d.stdout(); out != "" {
		t.Errorf("it printed %q on standard output before it refused", out)
	}
	_, message, found := strings.Cut("\n"+d.stderr(), "\nError: ")
	if !found || strings.Contains(message, "\nError: ") {
		t.Fatalf("want one error on standard error, got:\n%s", d.stderr())
	}
	for _, want := range wants {
		if !strings.Contains(message, want) {
			t.Errorf("the error is\n%s\nwant it to say %q", message, want)
		}
	}
}

// freeListener is a listener stanza on free ports.
func freeListener(t *testing.T) string {
	t.Helper()
	port, err := process.FreeBlock(2)
	if err != nil {
		t.Fatal(err)
	}
	return listenOn(fmt.Sprintf("127.0.0.1:%d", port))
}

func listenOn(address string) string {
	return fmt.Sprintf("listener \"tcp\" {\n  address = %q\n  tls_disable = true\n}\n", address)
}

func pluginDirectory(path string) string { return fmt.Sprintf("plugin_directory = %q\n", path) }

// copyPlugins returns a plugin directory of its own with copies of the bundled plugins.
func copyPlugins(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "plugins")
	if err := os.CopyFS(dir, os.DirFS(filepath.Join(harness.Binaries(t), "plugins"))); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestServerRefusesToStart: what is wrong with the configuration or the plugin is said in
// one error, at once.
func TestServerRefusesToStart(t *testing.T) {
	bundled := filepath.Join(harness.Binaries(t), "plugins")
	inmem := "storage \"inmem\" {}\n"
	for _, tc := range []struct {
		name   string
		config func(t *testing.T) string // its first line is line 1
		says   []string                  // FILE stands for the path of the configuration
	}{
		{"unknown key", func(t *testing.T) string {
			return pluginDirectory(bundled) + "cluster_nam = \"x\"\n" + inmem + freeListener(t)
		}, []string{"FILE:2: cluster_nam: unknown key; did you mean cluster_name?"}},
		{"unknown key of the listener", func(*testing.T) string {
			return pluginDirectory(bundled) + inmem + "listener \"tcp\" {\n  addrss = \"x\"\n  tls_disable = true\n}\n"
		}, []string{"FILE:4: listener.addrss: unknown key; did you mean address?"}},
		{"unknown keys, all at once", func(t *testing.T) string {
			return pluginDirectory(bundled) + inmem + freeListener(t) + "foo_bar = 1\nlog_levl = \"info\"\n"
		}, []string{"FILE:7: foo_bar: unknown key", "FILE:8: log_levl: unknown key; did you mean log_level?"}},
		{"unknown option of the storage", func(t *testing.T) string {
			return pluginDirectory(bundled) + "storage \"consul\" {\n  addrss = \"127.0.0.1:1\"\n}\n" + freeListener(t)
		}, []string{`FILE:3: storage "consul": option "addrss" is unknown, did you mean "address"?`}},
		{"storage option of the wrong type", func(t *testing.T) string {
			return pluginDirectory(bundled) + "storage \"inmem\" {\n  latency = \"soon\"\n}\n" + freeListener(t)
		}, []string{`option "latency"`}},
		{"syntax error", func(*testing.T) string { return "storage \"inmem\" {\n" }, []string{"FILE"}},
		{"ha_storage", func(t *testing.T) string {
			return pluginDirectory(bundled) + inmem + "ha_storage \"consul\" {}\n" + freeListener(t)
		}, []string{"FILE:3: ha_storage: the record that fences writes and the data must be in one store"}},
		{"no TLS and no word of it", func(*testing.T) string {
			return pluginDirectory(bundled) + inmem + "listener \"tcp\" {}\n"
		}, []string{"FILE:3", "tls_disable = true"}},

		{"missing plugin", func(t *testing.T) string {
			return pluginDirectory(bundled) + "storage \"cassandra\" {}\n" + freeListener(t)
		}, []string{`no plugin for storage "cassandra"`, "holdfast-storage-cassandra does not exist", "holds storage plugins for: consul, etcd, inmem, zookeeper"}},
		{"missing plugin directory", func(t *testing.T) string {
			return pluginDirectory("/nonexistent/plugins") + inmem + freeListener(t)
		}, []string{"plugin directory /nonexistent/plugins does not exist"}},
		{"plugin that is not executable", func(t *testing.T) string {
			dir := copyPlugins(t)
			chmod(t, filepath.Join(dir, "holdfast-storage-inmem"), 0o644)
			return pluginDirectory(dir) + inmem + freeListener(t)
		}, []string{"holdfast-storage-inmem is not executable (mode 0644): run chmod 0755 on it"}},
		{"plugin that others may replace", func(t *testing.T) string {
			dir := copyPlugins(t)
			chmod(t, filepath.Join(dir, "holdfast-storage-inmem"), 0o777)
			return pluginDirectory(dir) + inmem + freeListener(t)
		}, []string{"writable by its group or by everyone"}},
		{"plugin of another type", func(t *testing.T) string {
			dir := copyPlugins(t)
			if err := os.Rename(filepath.Join(dir, "holdfast-storage-inmem"), filepath.Join(dir, "holdfast-storage-other")); err != nil {
				t.Fatal(err)
			}
			return pluginDirectory(dir) + "storage \"other\" {}\n" + freeListener(t)
		}, []string{`storage "other"`, `"inmem"`}},
		{"program that is no plugin", func(t *testing.T) string {
			return pluginDirectory(scriptPlugin(t, "#!/bin/sh\necho what do you want >&2\nexit 3\n")) + "storage \"other\" {}\n" + freeListener(t)
		}, []string{"ended before its handshake (exit status 3)", "what do you want"}},
		{"plugin that is no program", func(t *testing.T) string {
			return pluginDirectory(scriptPlugin(t, "what is this")) + "storage \"other\" {}\n" + freeListener(t)
		}, []string{"not a program for this machine"}},
		{"plugin with another checksum", func(t *testing.T) string {
			pin := fmt.Sprintf("plugin \"inmem\" {\n  sha256 = %q\n}\n", strings.Repeat("0", 64))
			return pluginDirectory(bundled) + inmem + pin + freeListener(t)
		}, []string{"check sha256 of plugin", "pinned is 0000"}},

		{"port that is taken", func(t *testing.T) string {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = l.Close() })
			return pluginDirectory(bundled) + inmem + listenOn(l.Addr().String())
		}, []string{"listener 127.0.0.1:", "address already in use"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			d, file := startServer(t, tc.config(t))
			wants := make([]string, len(tc.says))
			for i, want := range tc.says {
				wants[i] = strings.ReplaceAll(want, "FILE", file)
			}
			checkRefused(t, d, wants...)
		})
	}
}

func chmod(t *testing.T, path string, mode os.FileMode) {
	t.Helper()
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

// scriptPlugin returns a plugin directory in which the plugin for storage "other" is a
// file with that text.
func scriptPlugin(t *testing.T, text string) string {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "holdfast-storage-other")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	chmod(t, path, 0o755)
	return dir
}

// TestSecondNodeWithoutHA: on a store whose plugin has no HABackend a second node finds
// out that the first one runs, sealed or not, and refuses, while the first goes on.
func TestSecondNodeWithoutHA(t *testing.T) {
	plugins := t.TempDir()
	build := exec.Command("go", "build", "-o", filepath.Join(plugins, "holdfast-storage-nohastore"), "./test/plugins/nohastore")
	build.Dir = harness.Root()
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the test plugin: %v\n%s", err, out)
	}
	storage := fmt.Sprintf("storage \"nohastore\" {\n  file = %q\n}\n", filepath.Join(t.TempDir(), "store.json"))
	node := func() *daemon {
		d, _ := startServer(t, pluginDirectory(plugins)+storage+freeListener(t))
		return d
	}
	refused := func() {
		t.Helper()
		checkRefused(t, node(), "another node is running on this store", "stop one of the two")
	}

	first := node()
	first.awaitOutput(`^Storage: nohastore \(HA unavailable\)$`)
	client := clientAt(t, first.awaitOutput("^Api Address: (.*)$")[1])
	refused()
	unsealNew(t, client)
	write(t, client, "sys/mounts/kv", map[string]any{"type": "kv"})
	write(t, client, "kv/before", map[string]any{"v": 1})
	refused()
	write(t, client, "kv/after", map[string]any{"v": 2})

	// Once the first is gone its place is free, and its data is there.
	first.Stop()
	second := node()
	second.awaitOutput(`^Storage: nohastore \(HA unavailable\)$`)
	status, err := clientAt(t, second.awaitOutput("^Api Address: (.*)$")[1]).Sys().SealStatus()
	if err != nil || !status.Initialized {
		t.Errorf("the next node: %+v, %v, want it to find the cluster initialised", status, err)
	}
}

// TestSecondNodeWithHADisabled: where the configuration switches high availability off, a
// second node refuses as well, on a real store that could do it.
func TestSecondNodeWithHADisabled(t *testing.T) {
	storage := fmt.Sprintf("storage \"consul\" {\n  address = %q\n  ha_enabled = \"false\"\n}\n", servers.Consul(t).Address)
	node := func() *daemon {
		d, _ := startServer(t, pluginDirectory(filepath.Join(harness.Binaries(t), "plugins"))+storage+freeListener(t))
		return d
	}
	first := node()
	first.awaitOutput(`^Storage: consul \(HA disabled\)$`)
	client := clientAt(t, first.awaitOutput("^Api Address: (.*)$")[1])
	unsealNew(t, client)
	write(t, client, "sys/mounts/kv", map[string]any{"type": "kv"})
	checkRefused(t, node(), "another node is running on this store", "stop one of the two")
	write(t, client, "kv/after", map[string]any{"v": 1})
	if health, err := client.Sys().Health(); err != nil || health.Standby || health.Sealed {
		t.Errorf("health of the first: %+v, %v", health, err)
	}
	if leader, err := client.Sys().Leader(); err != nil || leader.HAEnabled {
		t.Errorf("leader: %+v, %v, want no high availability", leader, err)
	}
}

// clientAt returns Vault's client for a server, which sends each request once.
func clientAt(t testing.TB, address string) *api.Client {
	t.Helper()
	cfg := api.DefaultConfig()
	cfg.Address, cfg.MaxRetries, cfg.Timeout = address, 0, harness.Patience
	client, err := api.NewClient(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// unsealNew initialises and unseals a server, and makes its root token the client's.
func unsealNew(t *testing.T, client *api.Client) {
	t.Helper()
	keys, err := client.Sys().Init(&api.InitRequest{SecretShares: 1, SecretThreshold: 1})
	if err != nil {
		t.Fatalf("initialise: %v", err)
	}
	if status, err := client.Sys().Unseal(keys.KeysB64[0]); err != nil || status.Sealed {
		t.Fatalf("unseal: %+v, %v", status, err)
	}
	client.SetToken(keys.RootToken)
}

func write(t *testing.T, client *api.Client, path string, data map[string]any) {
	t.Helper()
	if _, err := client.Logical().Write(path, data); err != nil {
		t.Errorf("write %s: %v", path, err)
	}
}
