package config

import (
	"crypto/tls"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// load writes files, by name, into a directory and loads them in the order of names.
func load(t *testing.T, files map[string]string) (*Config, []Warning, error) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var paths []string
	for _, name := range slices.Sorted(maps.Keys(files)) {
		paths = append(paths, filepath.Join(dir, name))
	}
	return Load(paths)
}

const fromDesign = `
plugin_directory = "/usr/lib/holdfast/plugins"
api_addr         = "http://10.0.0.5:8200" # the advertise address
cluster_addr     = "https://10.0.0.5:8201"
storage "consul" {
  address = "127.0.0.1:8500"
  path    = "holdfast/"
  max_parallel = 64
  ha_enabled = false
  timeout = 1.5
  tags = ["a", "b"]
}
listener "tcp" {
  address       = "0.0.0.0:8200"
  tls_cert_file = "/etc/holdfast/tls.crt"
  tls_key_file  = "/etc/holdfast/tls.key"
  tls_min_version = "tls13"
  tls_cipher_suites = "TLS_AES_128_GCM_SHA256, TLS_AES_256_GCM_SHA384"
  max_request_size = "2097152"
  http_idle_timeout = 60
}
listener "tcp" {
  address = "127.0.0.1:8300"
  tls_disable = "true"
  max_request_duration = "1m"
}
plugin "consul" {
  sha256 = "0000000000000000000000000000000000000000000000000000000000000001"
  args = ["-x"]
  env = ["A=b"]
  user = "nobody"
  no_new_privs = false
  max_open_files = 1024
  max_memory = "512MiB"
}
ha {
  lease = "4s"
  beat = "1s"
  hold = 10
  read_mode = "strict"
}
log_level = "DEBUG"
default_max_request_duration = "45s"
cluster_name = "prod"
seal "shamir" {}
`

func wantFromDesign() *Config {
	first, second := defaultListener(), defaultListener()
	first.Address = "0.0.0.0:8200"
	first.TLS = TLS{
		CertFile: "/etc/holdfast/tls.crt", KeyFile: "/etc/holdfast/tls.key", MinVersion: tls.VersionTLS13,
		CipherSuites: []uint16{tls.TLS_AES_128_GCM_SHA256, tls.TLS_AES_256_GCM_SHA384},
	}
	first.Limits.MaxRequestSize = 2 << 20
	first.Limits.IdleTimeout = time.Minute
	first.Limits.MaxRequestDuration = 45 * time.Second
	second.Address = "127.0.0.1:8300"
	second.TLS.Disable = true
	second.Limits.MaxRequestDuration = time.Minute
	return &Config{
		PluginDirectory: "/usr/lib/holdfast/plugins",
		APIAddr:         "http://10.0.0.5:8200", ClusterAddr: "https://10.0.0.5:8201",
		ClusterName: "prod",
		Storage: Storage{Type: "consul", Options: map[string]any{
			"address": "127.0.0.1:8500", "path": "holdfast/", "max_parallel": int64(64),
			"ha_enabled": false, "timeout": 1.5, "tags": []any{"a", "b"},
		}},
		Listeners: []Listener{first, second},
		Plugins: map[string]Plugin{"consul": {
			SHA256: strings.Repeat("0", 63) + "1", Args: []string{"-x"}, Env: []string{"A=b"},
			Confinement: Confinement{User: "nobody", NewPrivileges: true, MaxOpenFiles: 1024, MaxMemory: 512 << 20},
		}},
		HA:                 HA{Lease: 4 * time.Second, Beat: time.Second, Hold: 10 * time.Second, ReadMode: ReadStrict},
		Log:                Log{Level: "debug", Format: "standard"},
		MaxRequestDuration: 45 * time.Second,
	}
}

const sameInJSON = `{
  "plugin_directory": "/usr/lib/holdfast/plugins",
  "api_addr": "http://10.0.0.5:8200", "cluster_addr": "https://10.0.0.5:8201",
  "storage": {"consul": {"address": "127.0.0.1:8500", "path": "holdfast/", "max_parallel": 64,
    "ha_enabled": false, "timeout": 1.5, "tags": ["a", "b"]}},
  "listener": [
    {"tcp": {"address": "0.0.0.0:8200", "tls_cert_file": "/etc/holdfast/tls.crt", "tls_key_file": "/etc/holdfast/tls.key",
      "tls_min_version": "tls13", "tls_cipher_suites": ["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384"],
      "max_request_size": 2097152, "http_idle_timeout": "60s"}},
    {"tcp": {"address": "127.0.0.1:8300", "tls_disable": 1, "max_request_duration": 60}}],
  "plugin": {"consul": [{"sha256": "0000000000000000000000000000000000000000000000000000000000000001", "args": ["-x"], "env": ["A=b"],
    "user": "nobody", "no_new_privs": "false", "max_open_files": "1024", "max_memory": 536870912}]},
  "ha": {"lease": 4, "beat": "1000ms", "hold": "10s", "read_mode": "strict"},
  "log_level": "debug", 
  "default_max_request_duration": 45, "cluster_name": "prod", "seal": [{"shamir": {}}]
}`

func TestLoad(t *testing.T) {
	for name, text := range map[string]string{"a.hcl": fromDesign, "a.json": sameInJSON, "a.conf": sameInJSON} {
		t.Run(name, func(t *testing.T) {
			got, warnings, err := load(t, map[string]string{name: text})
			if err != nil {
				t.Fatal(err)
			}
			for i := range got.Listeners {
				got.Listeners[i].at = position{}
			}
			got.Storage.at, got.Storage.places = position{}, nil
			if want := wantFromDesign(); !reflect.DeepEqual(got, want) {
				t.Errorf("got  %+v\nwant %+v", got, want)
			}
			if len(warnings) != 0 {
				t.Errorf("warnings: %v", warnings)
			}
		})
	}
}

const minimal = `
plugin_directory = "/p"
storage "inmem" {}
listener "tcp" { tls_disable = true }
`

func TestDefaults(t *testing.T) {
	got, _, err := load(t, map[string]string{"a.hcl": minimal})
	if err != nil {
		t.Fatal(err)
	}
	if want := (HA{Lease: 2 * time.Second, Beat: 400 * time.Millisecond, Hold: 5 * time.Second, ReadMode: ReadLease}); got.HA != want {
		t.Errorf("HA = %+v, want %+v", got.HA, want)
	}
	l := got.Listeners[0]
	if l.Address != "127.0.0.1:8200" || l.Limits.MaxRequestSize != 1<<20 || l.TLS.MinVersion != tls.VersionTLS12 {
		t.Errorf("listener = %+v", l)
	}
}

func TestDevIsValid(t *testing.T) {
	c := Dev()
	c.PluginDirectory = "/p"
	if err := c.Validate(); err != nil {
		t.Error(err)
	}
	if c.Storage.Type != "inmem" || !c.Listeners[0].TLS.Disable || c.Listeners[0].Address != "127.0.0.1:8200" {
		t.Errorf("Dev = %+v", c)
	}
}

func TestFilesAreMerged(t *testing.T) {
	got, _, err := load(t, map[string]string{
		"1.hcl":  minimal + `log_level = "warn"` + "\n" + `ha { lease = "8s" }` + "\n" + `plugin "inmem" { args = ["-a"] }`,
		"2.json": `{"log_level": "error", "listener": {"tcp": {"address": "127.0.0.1:1", "tls_disable": true}}, "ha": {"beat": "2s"}}`,
		"3.hcl":  `plugin "inmem" { command = "/bin/x" }`,
	})
	if err != nil {
		t.Fatal(err)
	}
	if got.Log.Level != "error" || got.HA.Lease != 8*time.Second || got.HA.Beat != 2*time.Second {
		t.Errorf("log level %q, HA %+v", got.Log.Level, got.HA)
	}
	if len(got.Listeners) != 2 || got.Listeners[1].Address != "127.0.0.1:1" {
		t.Errorf("listeners = %+v", got.Listeners)
	}
	if p := got.Plugins["inmem"]; p.Command != "/bin/x" || !slices.Equal(p.Args, []string{"-a"}) {
		t.Errorf("plugin = %+v", p)
	}
}

func TestDirectory(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"b.json": `{"log_level": "error"}`, "a.hcl": minimal + `log_level = "warn"`,
		"README": "not a configuration", ".#a.hcl": "left behind",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got, _, err := Load([]string{dir})
	if err != nil || got.Log.Level != "error" {
		t.Errorf("Load = %+v, %v, want log level error of the last file", got, err)
	}
	for name, paths := range map[string][]string{
		"nothing": nil, "an empty directory": {t.TempDir()}, "a missing file": {filepath.Join(dir, "none.hcl")},
	} {
		if _, _, err := Load(paths); err == nil {
			t.Errorf("Load of %s succeeded", name)
		}
	}
}

func TestEnvironmentWins(t *testing.T) {
	for _, tt := range []struct {
		name string
		env  map[string]string
		want [3]string // API, cluster, log level
	}{
		{"nothing set", nil, [3]string{"http://file", "https://file", "warn"}},
		{
			"Vault's",
			map[string]string{"VAULT_API_ADDR": "http://v", "VAULT_CLUSTER_ADDR": "https://v", "VAULT_LOG_LEVEL": "trace"},
			[3]string{"http://v", "https://v", "trace"},
		},
		{"Vault's old one", map[string]string{"VAULT_REDIRECT_ADDR": "http://r"}, [3]string{"http://r", "https://file", "warn"}},
		{"ours over Vault's", map[string]string{
			"VAULT_API_ADDR": "http://v", "HOLDFAST_API_ADDR": "http://h",
			"VAULT_CLUSTER_ADDR": "https://v", "HOLDFAST_CLUSTER_ADDR": "https://h",
			"VAULT_LOG_LEVEL": "trace", "HOLDFAST_LOG_LEVEL": "error",
		}, [3]string{"http://h", "https://h", "error"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := Default()
			c.APIAddr, c.ClusterAddr, c.Log.Level = "http://file", "https://file", "warn"
			if err := c.ApplyEnv(func(name string) string { return tt.env[name] }); err != nil {
				t.Fatal(err)
			}
			if got := [3]string{c.APIAddr, c.ClusterAddr, c.Log.Level}; got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
	c := Default()
	c.Storage.Type = "consul"
	c.Plugins["consul"] = Plugin{SHA256: "kept"}
	if err := c.ApplyEnv(func(name string) string { return map[string]string{"HOLDFAST_PLUGIN_ATTACH": "unix:///s"}[name] }); err != nil {
		t.Fatal(err)
	}
	if got := c.Plugins["consul"]; got.Attach != "unix:///s" || got.SHA256 != "kept" {
		t.Errorf("the plugin is %+v, want it attached to unix:///s", got)
	}
	err := Default().ApplyEnv(func(name string) string { return map[string]string{"HOLDFAST_LOG_LEVEL": "loud"}[name] })
	if err == nil || !strings.Contains(err.Error(), "HOLDFAST_LOG_LEVEL") {
		t.Errorf("a bad log level = %v, want an error that names the variable", err)
	}
}
