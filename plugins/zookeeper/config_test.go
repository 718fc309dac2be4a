package zookeeper

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/holdfast/holdfast/sdk/wire"
)

func TestConfigValidateNamesEveryProblem(t *testing.T) {
	valid := defaults()
	if err := valid.Validate(); err != nil {
		t.Fatalf("the defaults are refused: %v", err)
	}
	for option, spoil := range map[string]func(*Config){
		"address":         func(c *Config) { c.Address = []string{"127.0.0.1:2181/chroot"} },
		"path":            func(c *Config) { c.Path = "a//b" },
		"auth_info":       func(c *Config) { c.AuthInfo = "digest:nopassword" },
		"znode_owner":     func(c *Config) { c.ZnodeOwner = "digest" },
		"session_timeout": func(c *Config) { c.SessionTimeout = time.Millisecond },
		"timeout":         func(c *Config) { c.Timeout = 0 },
		"jute_maxbuffer":  func(c *Config) { c.JuteMaxBuffer = 1000 },
		"max_directory":   func(c *Config) { c.MaxDirectory = 1 },
		"record_rotation": func(c *Config) { c.RecordRotation = 1 << 31 },
		"tls_cert_file":   func(c *Config) { c.Enabled, c.CertFile = true, "x.pem" },
		"tls_min_version": func(c *Config) { c.MinVersion = "tls10" },
		"tls_enabled":     func(c *Config) { c.SkipVerify = true },
	} {
		c := defaults()
		spoil(&c)
		err := c.Validate()
		if err == nil || !strings.Contains(err.Error(), `"`+option+`"`) {
			t.Errorf("a wrong %s: got %v, want an error that names it", option, err)
		}
		if err != nil && strings.Contains(err.Error(), "nopassword") {
			t.Errorf("a secret is in the error: %v", err)
		}
	}
	for _, path := range []string{"../x", "a\x00b", "zookeeper", "zookeeper/x", "\U0001f511", strings.Repeat("p", maxPathBytes)} {
		c := defaults()
		c.Path = path
		if err := c.Validate(); err == nil {
			t.Errorf("path %q is accepted, want an error", path)
		}
	}
	for _, addresses := range [][]string{nil, {""}, {"a:b"}, {"h:70000"}, {"zk://h"}} {
		c := defaults()
		c.Address = addresses
		if err := c.Validate(); err == nil {
			t.Errorf("address %q is accepted, want an error", addresses)
		}
	}
}

func TestConfigAddressesAndPath(t *testing.T) {
	c := defaults()
	c.Address = []string{"zk1", "zk2:2182", "[::1]:2181"}
	want := []string{"zk1:2181", "zk2:2182", "[::1]:2181"}
	if got, err := c.addresses(); err != nil || !slices.Equal(got, want) {
		t.Errorf("addresses: got %q, %v, want %q", got, err, want)
	}
	for path, want := range map[string]string{"holdfast/": "/holdfast", "/vault": "/vault", "a/b/": "/a/b", "": "", "/": ""} {
		c.Path = path
		if got, err := c.root(); err != nil || got != want {
			t.Errorf("path %q: got %q, %v, want %q", path, got, err, want)
		}
	}
}

func TestConfigOwner(t *testing.T) {
	for _, test := range []struct {
		auth, owner, scheme, id string
	}{
		{"", "", "world", "anyone"},
		{"digest:u:p", "", "digest", zk.DigestACL(zk.PermAll, "u", "p")[0].ID},
		{"digest:u:p:q", "", "digest", zk.DigestACL(zk.PermAll, "u", "p:q")[0].ID},
		{"digest:u:p", "world:anyone", "world", "anyone"},
		{"", "ip:10.0.0.0/8", "ip", "10.0.0.0/8"},
	} {
		c := defaults()
		c.AuthInfo, c.ZnodeOwner = test.auth, test.owner
		got, err := c.acl()
		want := zk.ACL{Perms: zk.PermAll, Scheme: test.scheme, ID: test.id}
		if err != nil || len(got) != 1 || got[0] != want {
			t.Errorf("auth_info %q, znode_owner %q: got %v, %v, want %v", test.auth, test.owner, got, err, want)
		}
	}
}

func TestLimitsAreWhatTheHostTakes(t *testing.T) {
	for _, buffer := range []int{minJuteBuffer, defaultJuteBuffer, maxJuteBuffer} {
		l := limits(buffer, wire.MaxLimits())
		if err := l.Validate(); err != nil {
			t.Errorf("jute_maxbuffer %d: %v", buffer, err)
		}
		if need := l.MaxBatchBytes + l.MaxOps*opOverhead; need > buffer {
			t.Errorf("jute_maxbuffer %d: a batch may need %d bytes", buffer, need)
		}
	}
	if l := limits(defaultJuteBuffer, wire.MaxLimits()); l.MaxOps != maxOps || l.MaxValueBytes < 750<<10 {
		t.Errorf("limits by default: %+v", l)
	}
}
