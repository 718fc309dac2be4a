package etcd

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestConfigEndpoints(t *testing.T) {
	for _, tt := range []struct {
		addresses []string
		ca        string
		want      []string
	}{
		{[]string{"127.0.0.1:2379"}, "", []string{"http://127.0.0.1:2379"}},
		{[]string{"etcd.example:2379", "https://b:1/"}, "ca.pem", []string{"https://etcd.example:2379", "https://b:1"}},
		{[]string{"http://a:2379", "http://[::1]:2379"}, "", []string{"http://a:2379", "http://[::1]:2379"}},
	} {
		c := Config{TLSCAFile: tt.ca}
		if got, err := c.endpoints(tt.addresses); err != nil || !slices.Equal(got, tt.want) {
			t.Errorf("addresses %q: got %q, %v, want %q", tt.addresses, got, err, tt.want)
		}
	}
	for _, refused := range [][]string{
		{"http://a"}, {"ftp://a:1"}, {"http://a:1/path"}, {"http://u:secret@a:1"}, {"http://u:secret@a b:1"}, {"http://a:1", "https://b:1"}, {":2379"}, {"http://a:1?x=1"},
	} {
		c := Config{}
		if got, err := c.endpoints(refused); err == nil || !strings.Contains(err.Error(), `"address"`) || strings.Contains(err.Error(), "secret") {
			t.Errorf("addresses %q: got %q, %v, want an error that names the option and no password", refused, got, err)
		}
	}
}

func TestConfigRoot(t *testing.T) {
	for path, want := range map[string]string{
		"holdfast/": "holdfast/", "holdfast": "holdfast/", "/vault/": "/vault/", "a/b//": "a/b/", "with space %": "with space %/",
	} {
		c := Config{Path: path}
		if got, err := c.root(); err != nil || got != want {
			t.Errorf("path %q: got %q, %v, want %q", path, got, err, want)
		}
	}
	for _, path := range []string{"", "/", "//a", "a//b", "../x", "a\x00b", strings.Repeat("p", maxPathBytes)} {
		c := Config{Path: path}
		if got, err := c.root(); err == nil {
			t.Errorf("path %q: got %q, want an error", path, got)
		}
	}
}

func TestConfigValidateNamesEveryProblem(t *testing.T) {
	valid := defaults()
	if err := valid.Validate(); err != nil {
		t.Fatalf("the defaults are refused: %v", err)
	}
	for option, spoil := range map[string]func(*Config){
		"address":            func(c *Config) { c.Address = []string{"ftp://x:1"} },
		"path":               func(c *Config) { c.Path = "a//b" },
		"discovery_srv_name": func(c *Config) { c.DiscoverySRVName = "x" },
		"username":           func(c *Config) { c.Password = "hidden" },
		"password":           func(c *Config) { c.Username = "x" },
		"request_timeout":    func(c *Config) { c.RequestTimeout = 0 },
		"max_receive_size":   func(c *Config) { c.MaxReceiveSize = 1000 },
		"max_txn_ops":        func(c *Config) { c.MaxTxnOps = 8 },
		"history_retention":  func(c *Config) { c.HistoryRetention = time.Millisecond },
		"tls_cert_file":      func(c *Config) { c.TLSKeyFile = "x.pem" },
		"etcd_api":           func(c *Config) { c.ETCDAPI = "v2" },
	} {
		c := defaults()
		spoil(&c)
		err := c.Validate()
		if err == nil || !strings.Contains(err.Error(), `"`+option+`"`) {
			t.Errorf("a wrong %s: got %v, want an error that names it", option, err)
		}
		if err != nil && strings.Contains(err.Error(), "hidden") {
			t.Errorf("a wrong %s: the error shows the password", option)
		}
	}
}

func TestDiscovery(t *testing.T) {
	records := map[string][]*net.SRV{
		"etcd-client":         {{Target: "plain.example.", Port: 1}},
		"etcd-client-ssl-eu":  {{Target: "a.example.", Port: 2379}, {Target: "b.example.", Port: 2380}},
		"etcd-client-us":      {{Target: "us.example.", Port: 3}},
		"etcd-client-ssl-us2": {},
	}
	lookup := func(_ context.Context, service, proto, name string) (string, []*net.SRV, error) {
		found, ok := records[service]
		if !ok || proto != "tcp" || name != "example" {
			return "", nil, errors.New("no such record")
		}
		return "", found, nil
	}
	for _, tt := range []struct {
		config Config
		want   []string
	}{
		{Config{}, []string{defaultAddress}},
		{Config{Address: []string{"a:1"}, DiscoverySRV: "example"}, []string{"http://a:1"}},
		{Config{DiscoverySRV: "example"}, []string{"http://plain.example:1"}},
		{Config{DiscoverySRV: "example", DiscoverySRVName: "eu"}, []string{"https://a.example:2379", "https://b.example:2380"}},
		{Config{DiscoverySRV: "example", DiscoverySRVName: "us"}, []string{"http://us.example:3"}},
	} {
		if got, err := tt.config.discover(t.Context(), lookup); err != nil || !slices.Equal(got, tt.want) {
			t.Errorf("%+v: got %q, %v, want %q", tt.config, got, err, tt.want)
		}
	}
	for name, c := range map[string]Config{
		"no records":         {DiscoverySRV: "elsewhere"},
		"an empty answer":    {DiscoverySRV: "example", DiscoverySRVName: "us2"},
		"TLS wanted, no TLS": {DiscoverySRV: "example", TLSCAFile: "ca.pem"},
	} {
		if got, err := c.discover(t.Context(), lookup); err == nil || !strings.Contains(err.Error(), `"discovery_srv"`) {
			t.Errorf("%s: got %q, %v, want an error that names the option", name, got, err)
		}
	}
}
