package consul

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func TestConfigTarget(t *testing.T) {
	for _, tt := range []struct {
		address, scheme string
		want            target
	}{
		{"127.0.0.1:8500", "http", target{scheme: "http", address: "127.0.0.1:8500"}},
		{"consul.example:8501", "https", target{scheme: "https", address: "consul.example:8501"}},
		{"https://consul.example:8501/", "http", target{scheme: "https", address: "consul.example:8501"}},
		{"http://consul.example:8500", "https", target{scheme: "https", address: "consul.example:8500"}},
		{"[::1]:8500", "http", target{scheme: "http", address: "[::1]:8500"}},
		{"unix:///run/consul.sock", "http", target{scheme: "http", address: "localhost", socket: "/run/consul.sock"}},
	} {
		c := Config{Address: tt.address, Scheme: tt.scheme}
		if got, err := c.target(); err != nil || got != tt.want {
			t.Errorf("address %q, scheme %q: got %+v, %v, want %+v", tt.address, tt.scheme, got, err, tt.want)
		}
	}
}

func TestConfigRoot(t *testing.T) {
	for path, want := range map[string]string{
		"holdfast/": "holdfast/", "holdfast": "holdfast/", "/vault/": "vault/", "a/b": "a/b/", "": "", "/": "",
	} {
		c := Config{Path: path}
		if got, err := c.root(); err != nil || got != want {
			t.Errorf("path %q: got %q, %v, want %q", path, got, err, want)
		}
	}
}

func TestConfigValidateNamesEveryProblem(t *testing.T) {
	valid := defaults()
	if err := valid.Validate(); err != nil {
		t.Fatalf("the defaults are refused: %v", err)
	}
	for option, spoil := range map[string]func(*Config){
		"address":          func(c *Config) { c.Address = "ftp://x" },
		"scheme":           func(c *Config) { c.Scheme = "tcp" },
		"path":             func(c *Config) { c.Path = "a//b" },
		"max_parallel":     func(c *Config) { c.MaxParallel = 0 },
		"timeout":          func(c *Config) { c.Timeout = 0 },
		"txn_max_ops":      func(c *Config) { c.TxnMaxOps = 8 },
		"tls_cert_file":    func(c *Config) { c.TLSCertFile = "x.pem" },
		"tls_min_version":  func(c *Config) { c.TLSMinVersion = "tls10" },
		"consistency_mode": func(c *Config) { c.ConsistencyMode = "stale" },
	} {
		c := defaults()
		spoil(&c)
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), `"`+option+`"`) {
			t.Errorf("a wrong %s: got %v, want an error that names it", option, err)
		}
	}
	for _, path := range []string{"../x", "a\x00b", "50%", "with space", strings.Repeat("p", maxPathBytes)} {
		c := defaults()
		c.Path = path
		if err := c.Validate(); err == nil {
			t.Errorf("path %q is accepted, want an error", path)
		}
	}
}

func TestConfigIgnoredNamesVaultOptions(t *testing.T) {
	c := defaults()
	if got := c.ignored(); len(got) > 0 {
		t.Errorf("the defaults have ignored options %q, want none", got)
	}
	c.ConsistencyMode = "strong" // what is done anyway
	c.SessionTTL, c.Service = time.Second, "vault"
	if got, want := c.ignored(), []string{"session_ttl", "service"}; !slices.Equal(got, want) {
		t.Errorf("ignored options %q, want %q", got, want)
	}
}
