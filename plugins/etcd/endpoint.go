package etcd

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"strconv"
	"strings"
)

// endpoints returns addresses as URLs without a path, all of one scheme. An address
// without a scheme gets https where a TLS option is given, else http.
func (c *Config) endpoints(addresses []string) ([]string, error) {
	var urls []string
	for _, address := range addresses {
		if !strings.Contains(address, "://") {
			address = c.scheme() + "://" + address
		}
		u, err := url.Parse(strings.TrimSuffix(address, "/"))
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Port() == "" || u.Hostname() == "" || u.String() != u.Scheme+"://"+u.Host {
			return nil, fmt.Errorf("option %q has %q, want http(s)://host:port without a path", "address", withoutUser(address))
		}
		if u.Scheme == "http" && c.secure() {
			return nil, fmt.Errorf("option %q has %q, which is not encrypted, and TLS options are given: say https", "address", address)
		}
		urls = append(urls, u.String())
	}
	for _, u := range urls {
		if strings.HasPrefix(u, "https:") != strings.HasPrefix(urls[0], "https:") {
			return nil, fmt.Errorf("option %q mixes http and https", "address")
		}
	}
	return urls, nil
}

// withoutUser is what a message may show of an address, valid or not.
func withoutUser(address string) string {
	if at := strings.LastIndexByte(address, '@'); at >= 0 {
		return "..." + address[at:]
	}
	return address
}

func (c *Config) scheme() string {
	if c.secure() {
		return "https"
	}
	return "http"
}

// lookupSRV is net.Resolver.LookupSRV.
type lookupSRV func(ctx context.Context, service, proto, name string) (string, []*net.SRV, error)

// discover returns the URLs to start with: what address says, or else the SRV records
// of discovery_srv, or else this machine.
func (c *Config) discover(ctx context.Context, lookup lookupSRV) ([]string, error) {
	switch {
	case len(c.Address) > 0:
		return c.endpoints(c.Address)
	case c.DiscoverySRV == "":
		return c.endpoints([]string{defaultAddress})
	}
	suffix := ""
	if c.DiscoverySRVName != "" {
		suffix = "-" + c.DiscoverySRVName
	}
	var errs []error
	for _, service := range []struct{ name, scheme string }{{"etcd-client-ssl", "https"}, {"etcd-client", "http"}} {
		if service.scheme == "http" && c.secure() {
			continue
		}
		_, records, err := lookup(ctx, service.name+suffix, "tcp", c.DiscoverySRV)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		var addresses []string
		for _, r := range records {
			host := strings.TrimSuffix(r.Target, ".")
			addresses = append(addresses, service.scheme+"://"+net.JoinHostPort(host, strconv.Itoa(int(r.Port))))
		}
		if len(addresses) > 0 {
			return c.endpoints(addresses)
		}
	}
	return nil, fmt.Errorf("option %q: %s has no usable SRV record _etcd-client-ssl%s._tcp or _etcd-client%s._tcp: %w",
		"discovery_srv", c.DiscoverySRV, suffix, suffix, errors.Join(errs...))
}

// tlsConfig returns nil where etcd is not asked by https.
func (c *Config) tlsConfig(endpoints []string) (*tls.Config, error) {
	if !strings.HasPrefix(endpoints[0], "https:") {
		return nil, nil //nolint:nilnil // how the client spells "no TLS"
	}
	conf := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.TLSCAFile != "" {
		pem, err := os.ReadFile(c.TLSCAFile)
		if err != nil {
			return nil, fmt.Errorf("load tls_ca_file: %w", err)
		}
		conf.RootCAs = x509.NewCertPool()
		if !conf.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("load tls_ca_file: %s has no PEM certificate", c.TLSCAFile)
		}
	}
	if c.TLSCertFile != "" {
		pair, err := tls.LoadX509KeyPair(c.TLSCertFile, c.TLSKeyFile)
		if err != nil {
			return nil, fmt.Errorf("load tls_cert_file and tls_key_file: %w", err)
		}
		conf.Certificates = []tls.Certificate{pair}
	}
	return conf, nil
}

// inClear reports whether a password would cross a network in clear.
func inClear(endpoint string) bool {
	u, err := url.Parse(endpoint)
	if err != nil || u.Scheme == "https" {
		return false
	}
	ip, err := netip.ParseAddr(u.Hostname())
	loopback := u.Hostname() == "localhost" || err == nil && ip.IsLoopback()
	return !loopback
}
