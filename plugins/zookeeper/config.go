package zookeeper

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/holdfast/holdfast/sdk/storage"
)

// Config is the storage stanza. The names are those of Vault's ZooKeeper storage, so that
// its configuration files work, and some of our own.
type Config struct {
	Address        []string      `config:"address" desc:"host:port of the servers, with commas"`
	Path           string        `config:"path" desc:"node below which the data lives; a cluster needs one of its own; created if missing"`
	AuthInfo       string        `config:"auth_info" desc:"scheme:credentials to log in with, for example digest:user:password" secret:"true"`
	ZnodeOwner     string        `config:"znode_owner" desc:"scheme:id that owns the nodes; by default the user of auth_info, else world:anyone"`
	SessionTimeout time.Duration `config:"session_timeout" desc:"a server that is silent for a third of this is left for another"`
	Timeout        time.Duration `config:"timeout" desc:"most time for one call"`
	JuteMaxBuffer  int           `config:"jute_maxbuffer" desc:"jute.maxbuffer of the servers, in bytes: their longest request; at least 131072"`
	MaxDirectory   int           `config:"max_directory" desc:"most names in one directory, at least 1000; ZooKeeper lists a directory as a whole"`
	RecordRotation int           `config:"record_rotation" desc:"commits on one record after which it moves to a new node; for tests"`
	TLSConfig
}

// TLSConfig are the options about TLS. The servers need a secureClientPort for it.
type TLSConfig struct {
	Enabled    bool   `config:"tls_enabled" desc:"connect with TLS, to the servers' secureClientPort"`
	CAFile     string `config:"tls_ca_file" desc:"PEM file of the CAs to trust instead of the system's"`
	CertFile   string `config:"tls_cert_file" desc:"PEM file of the client certificate"`
	KeyFile    string `config:"tls_key_file" desc:"PEM file of the client certificate's key"`
	MinVersion string `config:"tls_min_version" desc:"tls12 or tls13"`
	SkipVerify bool   `config:"tls_skip_verify" desc:"do not verify the server's certificate (insecure)"`
	VerifyIP   bool   `config:"tls_verify_ip" desc:"not used: the certificate must be for what address says, a name or an IP"`
}

const (
	defaultPort      = "2181"
	maxPathBytes     = 256
	minSession       = time.Second
	maxRotation      = 1 << 30 // ZooKeeper counts the changes of a node in 31 bits
	minDirectory     = 1000
	maxDirectory     = 1 << 20
	defaultDirectory = 100_000
)

// defaults are the values of options that are not set.
func defaults() Config {
	return Config{
		Address:        []string{"127.0.0.1:" + defaultPort},
		Path:           "holdfast/",
		SessionTimeout: 4 * time.Second,
		Timeout:        10 * time.Second,
		JuteMaxBuffer:  defaultJuteBuffer,
		MaxDirectory:   defaultDirectory,
		RecordRotation: maxRotation,
		TLSConfig:      TLSConfig{MinVersion: "tls12"},
	}
}

// Validate reports every option that can not work, by name. The SDK calls it after
// decoding.
func (c *Config) Validate() error {
	var errs []error
	for _, check := range []func() error{
		func() error { _, err := c.addresses(); return err },
		func() error { _, err := c.root(); return err },
		func() error { _, _, err := c.credentials(); return err },
		func() error { _, err := c.acl(); return err },
		c.validateTLS,
	} {
		if err := check(); err != nil {
			errs = append(errs, err)
		}
	}
	if c.SessionTimeout < minSession {
		errs = append(errs, fmt.Errorf("option %q is %v, want at least %v", "session_timeout", c.SessionTimeout, minSession))
	}
	if c.Timeout <= 0 {
		errs = append(errs, fmt.Errorf("option %q is %v, want more than 0s", "timeout", c.Timeout))
	}
	for _, o := range []struct {
		name             string
		value, from, til int
	}{
		{"jute_maxbuffer", c.JuteMaxBuffer, minJuteBuffer, maxJuteBuffer},
		{"max_directory", c.MaxDirectory, minDirectory, maxDirectory},
		{"record_rotation", c.RecordRotation, 1, maxRotation},
	} {
		if o.value < o.from || o.value > o.til {
			errs = append(errs, fmt.Errorf("option %q is %d, want %d to %d", o.name, o.value, o.from, o.til))
		}
	}
	return errors.Join(errs...)
}

// addresses returns the servers as host:port.
func (c *Config) addresses() ([]string, error) {
	var found []string
	for _, address := range c.Address {
		if !strings.Contains(address, ":") {
			address = net.JoinHostPort(address, defaultPort)
		}
		host, port, err := net.SplitHostPort(address)
		if _, bad := strconv.ParseUint(port, 10, 16); err != nil || bad != nil || host == "" || strings.ContainsAny(host, "/ ") {
			return nil, fmt.Errorf("option %q has %q, want host:port (a path goes into the option path)", "address", address)
		}
		found = append(found, address)
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("option %q names no server", "address")
	}
	return found, nil
}

// root returns the path of the node below which everything lives, empty for the root of
// the tree.
func (c *Config) root() (string, error) {
	path := strings.Trim(c.Path, "/")
	if path == "" {
		return "", nil
	}
	if err := storage.ValidateKey(path); err != nil {
		return "", fmt.Errorf("option %q is not a path: %w", "path", err)
	}
	if len(path) >= maxPathBytes {
		return "", fmt.Errorf("option %q is longer than %d bytes", "path", maxPathBytes-1)
	}
	if strings.ContainsFunc(path, func(r rune) bool { return r >= firstEscaped }) {
		return "", fmt.Errorf("option %q has characters that ZooKeeper refuses", "path")
	}
	if path == "zookeeper" || strings.HasPrefix(path, "zookeeper/") {
		return "", fmt.Errorf("option %q is ZooKeeper's own", "path")
	}
	return "/" + path, nil
}

// credentials returns the scheme and what to log in with; both empty without auth_info.
func (c *Config) credentials() (scheme string, credentials []byte, err error) {
	if c.AuthInfo == "" {
		return "", nil, nil
	}
	scheme, rest, ok := strings.Cut(c.AuthInfo, ":")
	if !ok || scheme == "" || rest == "" || scheme == "digest" && !strings.Contains(rest, ":") {
		return "", nil, fmt.Errorf("option %q is not scheme:credentials, such as digest:user:password", "auth_info")
	}
	return scheme, []byte(rest), nil
}

// acl returns who may use the nodes: the owner alone, and in all ways.
func (c *Config) acl() ([]zk.ACL, error) {
	if c.ZnodeOwner != "" {
		scheme, id, ok := strings.Cut(c.ZnodeOwner, ":")
		if !ok || scheme == "" || id == "" {
			return nil, fmt.Errorf("option %q is %q, want scheme:id, such as digest:user:hash", "znode_owner", c.ZnodeOwner)
		}
		return []zk.ACL{{Perms: zk.PermAll, Scheme: scheme, ID: id}}, nil
	}
	if digest, ok := strings.CutPrefix(c.AuthInfo, "digest:"); ok {
		user, password, _ := strings.Cut(digest, ":")
		return zk.DigestACL(zk.PermAll, user, password), nil
	}
	return zk.WorldACL(zk.PermAll), nil
}
