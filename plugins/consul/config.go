package consul

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/holdfast/holdfast/sdk/storage"
)

// Config is the storage stanza. The names are those of Vault's Consul storage, so
// that its configuration files work.
type Config struct {
	Address       string        `config:"address" desc:"host:port, URL without a path, or unix:///socket of the Consul agent"`
	Scheme        string        `config:"scheme" desc:"http or https, where address does not say"`
	Path          string        `config:"path" desc:"where in the KV store the data lives; a cluster needs one of its own"`
	Token         string        `config:"token" desc:"ACL token with policy write for key_prefix <path>" secret:"true"`
	MaxParallel   int           `config:"max_parallel" desc:"most reads sent to Consul at a time"`
	Timeout       time.Duration `config:"timeout" desc:"most time for one request"`
	TxnMaxOps     int           `config:"txn_max_ops" desc:"operations the servers take in one transaction; 64 before Consul 1.14"`
	MaxDirectory  int           `config:"max_directory" desc:"most names in a directory that can be listed, at least 1000; Consul lists a directory as a whole"`
	TLSCAFile     string        `config:"tls_ca_file" desc:"PEM file of the CAs to trust instead of the system's"`
	TLSCertFile   string        `config:"tls_cert_file" desc:"PEM file of the client certificate"`
	TLSKeyFile    string        `config:"tls_key_file" desc:"PEM file of the client certificate's key"`
	TLSMinVersion string        `config:"tls_min_version" desc:"tls12 or tls13"`
	TLSSkipVerify bool          `config:"tls_skip_verify" desc:"do not verify the server's certificate (insecure)"`
	VaultOnly
}

// VaultOnly are options of Vault that are accepted and do nothing here: reads are
// always consistent, no Consul lock or session is used, and no service is
// registered.
type VaultOnly struct {
	ConsistencyMode     string        `config:"consistency_mode" desc:"not used: reads are always consistent"`
	SessionTTL          time.Duration `config:"session_ttl" desc:"not used: there are no sessions"`
	LockWaitTime        time.Duration `config:"lock_wait_time" desc:"not used: there are no locks"`
	CheckTimeout        time.Duration `config:"check_timeout" desc:"not used: no service is registered"`
	DisableRegistration bool          `config:"disable_registration" desc:"not used: no service is registered"`
	Service             string        `config:"service" desc:"not used: no service is registered"`
	ServiceTags         string        `config:"service_tags" desc:"not used: no service is registered"`
	ServiceAddress      string        `config:"service_address" desc:"not used: no service is registered"`
}

// defaults are the values of options that are not set.
func defaults() Config {
	return Config{
		Address:       "127.0.0.1:8500",
		Scheme:        "http",
		Path:          "holdfast/",
		MaxParallel:   128,
		Timeout:       10 * time.Second,
		TxnMaxOps:     defaultTxnOps,
		MaxDirectory:  defaultDirectory,
		TLSMinVersion: "tls12",
	}
}

// What max_directory may be.
const (
	minDirectory     = 1000
	maxDirectory     = 1 << 20
	defaultDirectory = 100_000
)

// maxPathBytes bounds what every key of a batch adds to a request.
const maxPathBytes = 256

// Validate reports every option that can not work, by name. The SDK calls it after
// decoding.
func (c *Config) Validate() error {
	var errs []error
	if _, err := c.target(); err != nil {
		errs = append(errs, err)
	}
	if _, err := c.root(); err != nil {
		errs = append(errs, err)
	}
	if c.MaxParallel < 1 {
		errs = append(errs, fmt.Errorf("option %q is %d, want at least 1", "max_parallel", c.MaxParallel))
	}
	if c.Timeout <= 0 {
		errs = append(errs, fmt.Errorf("option %q is %v, want more than 0s", "timeout", c.Timeout))
	}
	if c.TxnMaxOps < minTxnOps || c.TxnMaxOps > defaultTxnOps {
		errs = append(errs, fmt.Errorf("option %q is %d, want %d to %d", "txn_max_ops", c.TxnMaxOps, minTxnOps, defaultTxnOps))
	}
	if c.MaxDirectory < minDirectory || c.MaxDirectory > maxDirectory {
		errs = append(errs, fmt.Errorf("option %q is %d, want %d to %d", "max_directory", c.MaxDirectory, minDirectory, maxDirectory))
	}
	if (c.TLSCertFile == "") != (c.TLSKeyFile == "") {
		errs = append(errs, errors.New(`options "tls_cert_file" and "tls_key_file" need each other`))
	}
	if _, ok := tlsVersions[c.TLSMinVersion]; !ok {
		errs = append(errs, fmt.Errorf("option %q is %q, want tls12 or tls13", "tls_min_version", c.TLSMinVersion))
	}
	switch c.ConsistencyMode {
	case "", "strong", "default":
	default:
		errs = append(errs, fmt.Errorf("option %q is %q, want strong", "consistency_mode", c.ConsistencyMode))
	}
	return errors.Join(errs...)
}

// root returns the path as every key begins: without a slash in front, with one at
// the end; empty for the whole store.
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
	if strings.ContainsAny(path, escaped+`"\`) {
		return "", fmt.Errorf("option %q has a space or one of %s, which are not kept as they are", "path", `~%&<>"\`)
	}
	return path + "/", nil
}

// target is where requests go.
type target struct {
	scheme  string // http or https
	address string // host:port
	socket  string // path of a unix socket to use in place of address; may be empty
}

func (c *Config) target() (target, error) {
	t := target{scheme: c.Scheme, address: c.Address}
	if scheme, rest, ok := strings.Cut(c.Address, "://"); ok {
		switch scheme {
		case "unix":
			t.address, t.socket = "localhost", rest
		case "https":
			t.scheme, t.address = scheme, strings.TrimSuffix(rest, "/")
		case "http": // https in the scheme option is not taken back
			t.address = strings.TrimSuffix(rest, "/")
		default:
			return target{}, fmt.Errorf("option %q has the scheme %q, want http, https or unix", "address", scheme)
		}
	}
	if t.scheme != "http" && t.scheme != "https" {
		return target{}, fmt.Errorf("option %q is %q, want http or https", "scheme", t.scheme)
	}
	u, err := url.Parse(t.scheme + "://" + t.address)
	if err != nil || u.Host == "" || u.Host != t.address {
		return target{}, fmt.Errorf("option %q is not host:port, a URL without a path or unix://<socket>", "address")
	}
	return t, nil
}

// insecure reports whether a token would cross a network in clear.
func (t target) insecure() bool {
	if t.scheme == "https" || t.socket != "" {
		return false
	}
	host, _, err := net.SplitHostPort(t.address)
	if err != nil {
		host = t.address
	}
	ip, err := netip.ParseAddr(host)
	loopback := host == "localhost" || err == nil && ip.IsLoopback()
	return !loopback
}

// ignored names the options that were given and do nothing.
func (c *Config) ignored() []string {
	given := []struct {
		name string
		set  bool
	}{
		{"consistency_mode", c.ConsistencyMode == "default"},
		{"session_ttl", c.SessionTTL != 0},
		{"lock_wait_time", c.LockWaitTime != 0},
		{"check_timeout", c.CheckTimeout != 0},
		{"disable_registration", c.DisableRegistration},
		{"service", c.Service != ""},
		{"service_tags", c.ServiceTags != ""},
		{"service_address", c.ServiceAddress != ""},
	}
	var names []string
	for _, o := range given {
		if o.set {
			names = append(names, o.name)
		}
	}
	return names
}
