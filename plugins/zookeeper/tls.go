package zookeeper

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
)

// tlsVersion reads the values of tls_min_version, as Vault spells them.
func tlsVersion(name string) (version uint16, ok bool) {
	switch name {
	case "tls12":
		return tls.VersionTLS12, true
	case "tls13":
		return tls.VersionTLS13, true
	}
	return 0, false
}

func (c *TLSConfig) validateTLS() error {
	var errs []error
	if (c.CertFile == "") != (c.KeyFile == "") {
		errs = append(errs, errors.New(`options "tls_cert_file" and "tls_key_file" need each other`))
	}
	if _, ok := tlsVersion(c.MinVersion); !ok {
		errs = append(errs, fmt.Errorf("option %q is %q, want tls12 or tls13", "tls_min_version", c.MinVersion))
	}
	if !c.Enabled && (c.CAFile != "" || c.CertFile != "" || c.SkipVerify) {
		errs = append(errs, errors.New(`options about TLS are set but "tls_enabled" is not true`))
	}
	return errors.Join(errs...)
}

// clientTLS returns the configuration for connections with TLS. The name to verify is set
// for each connection.
func (c *TLSConfig) clientTLS() (*tls.Config, error) {
	version, _ := tlsVersion(c.MinVersion)
	conf := &tls.Config{MinVersion: version, InsecureSkipVerify: c.SkipVerify}
	if c.CAFile != "" {
		pem, err := os.ReadFile(c.CAFile)
		if err != nil {
			return nil, fmt.Errorf("load tls_ca_file: %w", err)
		}
		conf.RootCAs = x509.NewCertPool()
		if !conf.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("load tls_ca_file: no certificate in %s", c.CAFile)
		}
	}
	if c.CertFile != "" {
		pair, err := tls.LoadX509KeyPair(c.CertFile, c.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("load tls_cert_file and tls_key_file: %w", err)
		}
		conf.Certificates = []tls.Certificate{pair}
	}
	return conf, nil
}
