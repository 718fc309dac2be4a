package server

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"sync/atomic"

	"github.com/holdfast/holdfast/host/advertise"
	"github.com/holdfast/holdfast/host/config"
)

// listener is one address on which the API is served.
type listener struct {
	net.Listener
	cfg         config.Listener
	certificate atomic.Pointer[tls.Certificate] // nil without TLS
	server      *http.Server
}

// listen opens all listeners, or none.
func listen(ctx context.Context, configs []config.Listener) (opened []*listener, err error) {
	defer func() {
		if err != nil {
			closeAll(opened)
			opened = nil
		}
	}()
	for _, cfg := range configs {
		address, err := advertise.Expand(cfg.Address)
		if err != nil {
			return opened, err
		}
		var lc net.ListenConfig
		tcp, err := lc.Listen(ctx, advertise.Network(address), address)
		if err != nil {
			return opened, fmt.Errorf("listener %s: %w", address, err)
		}
		l := &listener{Listener: tcp, cfg: cfg}
		opened = append(opened, l)
		if cfg.TLS.Disable {
			continue
		}
		tlsConfig, err := l.tlsConfig()
		if err != nil {
			return opened, fmt.Errorf("listener %s: %w", address, err)
		}
		l.Listener = tls.NewListener(tcp, tlsConfig)
	}
	return opened, nil
}

func closeAll(listeners []*listener) {
	for _, l := range listeners {
		_ = l.Close() // closed already if it was served
	}
}

func (l *listener) tlsState() string {
	if l.cfg.TLS.Disable {
		return "disabled"
	}
	return "enabled"
}

func (l *listener) tlsConfig() (*tls.Config, error) {
	if err := l.reload(); err != nil {
		return nil, err
	}
	t := l.cfg.TLS
	c := &tls.Config{
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return l.certificate.Load(), nil },
		MinVersion:     t.MinVersion, MaxVersion: t.MaxVersion, CipherSuites: t.CipherSuites,
		NextProtos: []string{"h2", "http/1.1"},
	}
	if !t.DisableClientCerts {
		c.ClientAuth = tls.VerifyClientCertIfGiven
	}
	if t.RequireClientCert {
		c.ClientAuth = tls.RequireAndVerifyClientCert
	}
	if t.ClientCAFile == "" {
		return c, nil
	}
	pem, err := os.ReadFile(t.ClientCAFile)
	if err != nil {
		return nil, fmt.Errorf("tls_client_ca_file: %w", err)
	}
	c.ClientCAs = x509.NewCertPool()
	if !c.ClientCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("tls_client_ca_file: no certificate in %s", t.ClientCAFile)
	}
	return c, nil
}

// reload reads the certificate again.
func (l *listener) reload() error {
	if l.cfg.TLS.Disable {
		return nil
	}
	t := l.cfg.TLS
	if t.CertFile == "" || t.KeyFile == "" {
		return errors.New("tls_cert_file and tls_key_file must be set, or tls_disable = true")
	}
	cert, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
	if err != nil {
		return fmt.Errorf("tls_cert_file, tls_key_file: %w", err)
	}
	l.certificate.Store(&cert)
	return nil
}
