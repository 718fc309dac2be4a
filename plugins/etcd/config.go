package etcd

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/holdfast/holdfast/sdk/storage"
)

// Config is the storage stanza. The names are those of Vault's etcd storage, so that
// its configuration files work.
type Config struct {
	Address          []string      `config:"address" desc:"URLs of the members, the nearest first; http://127.0.0.1:2379 if nothing else says"`
	DiscoverySRV     string        `config:"discovery_srv" desc:"domain whose SRV records name the members, where address does not"`
	DiscoverySRVName string        `config:"discovery_srv_name" desc:"ending of the service's name in those records"`
	Sync             bool          `config:"sync" desc:"ask the cluster, at the start, for members that are not listed"`
	Path             string        `config:"path" desc:"what every key begins with; a cluster needs one of its own"`
	Username         string        `config:"username" desc:"user whose role has readwrite on the prefix path"`
	Password         string        `config:"password" desc:"etcd user's password" secret:"true"`
	RequestTimeout   time.Duration `config:"request_timeout" desc:"most time for one request"`
	MaxReceiveSize   int           `config:"max_receive_size" desc:"largest answer to accept, in bytes, at least 4194304"`
	MaxTxnOps        int           `config:"max_txn_ops" desc:"operations the servers take in one transaction (their --max-txn-ops)"`
	HistoryRetention time.Duration `config:"history_retention" desc:"age at which the active node drops the store's history; 0 leaves that to etcd"`
	TLSCAFile        string        `config:"tls_ca_file" desc:"PEM file of the CAs to trust instead of the system's"`
	TLSCertFile      string        `config:"tls_cert_file" desc:"PEM file of the client certificate"`
	TLSKeyFile       string        `config:"tls_key_file" desc:"PEM file of the client certificate's key"`
	ETCDAPI          string        `config:"etcd_api" desc:"v3, the only one there is"`
	LockTimeout      time.Duration `config:"lock_timeout" desc:"not used: there are no locks"`
}

// defaults are the values of options that are not set.
func defaults() Config {
	return Config{
		Sync:             true,
		Path:             "holdfast/",
		RequestTimeout:   5 * time.Second,
		MaxReceiveSize:   16 << 20,
		MaxTxnOps:        defaultTxnOps,
		HistoryRetention: 10 * time.Minute,
		ETCDAPI:          "v3",
	}
}

const (
	// defaultAddress is where etcd listens when nobody says otherwise.
	defaultAddress = "http://127.0.0.1:2379"
	// maxPathBytes bounds what every key of a batch adds to a request.
	maxPathBytes = 256
	// minReceiveBytes is more than the largest answer to any request of this package: a
	// page of names.
	minReceiveBytes = 4 << 20
	// minRetention keeps what a List or a Watch in progress reads.
	minRetention = time.Second
)

// Validate reports every option that can not work, by name. The SDK calls it after
// decoding.
func (c *Config) Validate() error {
	var errs []error
	if _, err := c.endpoints(c.Address); err != nil {
		errs = append(errs, err)
	}
	if _, err := c.root(); err != nil {
		errs = append(errs, err)
	}
	if c.DiscoverySRVName != "" && c.DiscoverySRV == "" {
		errs = append(errs, fmt.Errorf("option %q needs %q", "discovery_srv_name", "discovery_srv"))
	}
	if (c.Username == "") != (c.Password == "") {
		errs = append(errs, errors.New(`options "username" and "password" need each other`))
	}
	if c.RequestTimeout <= 0 {
		errs = append(errs, fmt.Errorf("option %q is %v, want more than 0s", "request_timeout", c.RequestTimeout))
	}
	if c.MaxReceiveSize < minReceiveBytes {
		errs = append(errs, fmt.Errorf("option %q is %d, want at least %d", "max_receive_size", c.MaxReceiveSize, minReceiveBytes))
	}
	if c.MaxTxnOps < minTxnOps || c.MaxTxnOps > maxTxnOps {
		errs = append(errs, fmt.Errorf("option %q is %d, want %d to %d", "max_txn_ops", c.MaxTxnOps, minTxnOps, maxTxnOps))
	}
	if c.HistoryRetention != 0 && c.HistoryRetention < minRetention {
		errs = append(errs, fmt.Errorf("option %q is %v, want 0s or at least %v", "history_retention", c.HistoryRetention, minRetention))
	}
	if (c.TLSCertFile == "") != (c.TLSKeyFile == "") {
		errs = append(errs, errors.New(`options "tls_cert_file" and "tls_key_file" need each other`))
	}
	if c.ETCDAPI != "" && c.ETCDAPI != "v3" && c.ETCDAPI != "3" {
		errs = append(errs, fmt.Errorf("option %q is %q, want v3: etcd's version 2 API has no transactions", "etcd_api", c.ETCDAPI))
	}
	return errors.Join(errs...)
}

// root returns the path as every key begins: as given, with one slash at the end.
func (c *Config) root() (string, error) {
	path := strings.TrimRight(c.Path, "/")
	if err := storage.ValidateKey(strings.TrimPrefix(path, "/")); err != nil {
		return "", fmt.Errorf("option %q is not a path: %w", "path", err)
	}
	if len(path) >= maxPathBytes {
		return "", fmt.Errorf("option %q is longer than %d bytes", "path", maxPathBytes-1)
	}
	return path + "/", nil
}

// secure reports whether an option is given that only TLS uses.
func (c *Config) secure() bool { return c.TLSCAFile != "" || c.TLSCertFile != "" }
