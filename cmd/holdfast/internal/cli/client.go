package cli

import (
	"errors"
	"flag"
	"fmt"
	"net/url"
	"strconv"

	"github.com/hashicorp/vault/api"
)

const defaultAddress = "https://127.0.0.1:8200"

// connection says how to reach the server and how to print its answers. Flags
// come before HOLDFAST_*, and those before VAULT_*.
type connection struct {
	address    string
	caCert     string // file
	caPath     string // directory
	clientCert string
	clientKey  string
	serverName string
	skipVerify bool
	maxRetries int // environment only
	format     string
	noColor    bool // accepted for scripts written for Vault; output has no colours
}

// declare adds the flags of every client command.
func (c *connection) declare(fs *flag.FlagSet) {
	fs.StringVar(&c.address, "address", "", "`URL` of the server [HOLDFAST_ADDR] (default "+defaultAddress+")")
	fs.StringVar(&c.caCert, "ca-cert", "", "PEM `file` of the authority that signed the server's certificate [HOLDFAST_CACERT]")
	fs.StringVar(&c.caPath, "ca-path", "", "`directory` of such PEM files [HOLDFAST_CAPATH]")
	fs.StringVar(&c.clientCert, "client-cert", "", "PEM `file` of the client's certificate [HOLDFAST_CLIENT_CERT]")
	fs.StringVar(&c.clientKey, "client-key", "", "PEM `file` of the client's key [HOLDFAST_CLIENT_KEY]")
	fs.StringVar(&c.serverName, "tls-server-name", "", "`name` that the server's certificate must carry [HOLDFAST_TLS_SERVER_NAME]")
	fs.BoolVar(&c.skipVerify, "tls-skip-verify", false, "do not verify the server's certificate; unsafe [HOLDFAST_SKIP_VERIFY]")
	fs.StringVar(&c.format, "format", "", "output `format`: table or json [HOLDFAST_FORMAT] (default table)")
	fs.BoolVar(&c.noColor, "no-color", false, "accepted and ignored: output has no colours")
}

// complete takes from the environment what no flag has given, then the
// defaults, and checks the result. It reports every problem at once.
func (c *connection) complete(given map[string]bool, getenv func(string) string) error {
	for _, s := range []struct {
		flag, env string
		value     *string
	}{
		{"address", "ADDR", &c.address},
		{"ca-cert", "CACERT", &c.caCert},
		{"ca-path", "CAPATH", &c.caPath},
		{"client-cert", "CLIENT_CERT", &c.clientCert},
		{"client-key", "CLIENT_KEY", &c.clientKey},
		{"tls-server-name", "TLS_SERVER_NAME", &c.serverName},
		{"format", "FORMAT", &c.format},
	} {
		if !given[s.flag] {
			*s.value, _ = setting(getenv, s.env)
		}
	}
	var errs []error
	if value, name := setting(getenv, "SKIP_VERIFY"); value != "" && !given["tls-skip-verify"] {
		skip, err := strconv.ParseBool(value)
		if err != nil {
			errs = append(errs, fmt.Errorf("read %s: %q is neither true nor false", name, value))
		}
		c.skipVerify = skip
	}
	if value, name := setting(getenv, "MAX_RETRIES"); value != "" {
		retries, err := strconv.ParseUint(value, 10, 16)
		if err != nil {
			errs = append(errs, fmt.Errorf("read %s: %q is not a small whole number", name, value))
		}
		c.maxRetries = int(retries)
	}
	if c.address == "" {
		c.address = defaultAddress
	}
	if c.format == "" {
		c.format = "table"
	}
	return errors.Join(append(errs, c.check())...)
}

func (c *connection) check() error {
	var errs []error
	u, err := url.Parse(c.address)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" && u.Scheme != "unix":
		errs = append(errs, usageError("the server's address must begin with http://, https:// or unix://; see -address and HOLDFAST_ADDR"))
	case u.Scheme != "unix" && u.Host == "":
		errs = append(errs, usageError("the server's address names no host; see -address and HOLDFAST_ADDR"))
	}
	if c.format != "table" && c.format != "json" {
		errs = append(errs, usageError(fmt.Sprintf("the output format is table or json, not %q", c.format)))
	}
	return errors.Join(errs...)
}

// open makes a client of the HTTP API that sends token, or none if it is empty.
// It does no I/O but for reading certificates. The library takes VAULT_* from
// the environment of the process by itself; main hides them from it, and what
// complete found is set here in any case.
func (c *connection) open(token string) (*api.Client, error) {
	config := api.DefaultConfig()
	if config.Error != nil {
		return nil, fmt.Errorf("prepare the client: %w", config.Error)
	}
	config.Address = c.address
	config.AgentAddress = ""
	config.MaxRetries = c.maxRetries
	err := config.ConfigureTLS(&api.TLSConfig{
		CACert:        c.caCert,
		CAPath:        c.caPath,
		ClientCert:    c.clientCert,
		ClientKey:     c.clientKey,
		TLSServerName: c.serverName,
		Insecure:      c.skipVerify,
	})
	if err != nil {
		return nil, fmt.Errorf("prepare TLS: %w", err)
	}
	client, err := api.NewClient(config)
	if err != nil {
		return nil, fmt.Errorf("prepare the client: %w", err)
	}
	client.SetToken(token)
	return client, nil
}

// setting is HOLDFAST_<name>, or VAULT_<name> if ours is not set, and the name
// of the variable it came from.
func setting(getenv func(string) string, name string) (value, variable string) {
	for _, prefix := range []string{"HOLDFAST_", "VAULT_"} {
		if value := getenv(prefix + name); value != "" {
			return value, prefix + name
		}
	}
	return "", ""
}
