package consul

import (
	"context"
	"crypto/tls"
	"fmt"
	"math"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"
	"time"

	"github.com/hashicorp/consul/api"
)

// transport carries the requests of Consul's client. Consul's client fills what
// its caller left empty from CONSUL_* environment variables; here configuration
// alone decides, so transport puts the token in and takes the rest out.
//
// It speaks HTTP/1.1 on purpose. net/http then sends a PUT a second time only if
// nothing of the first was written (net/http.Request.isReplayable), so one Commit
// is at most one transaction at the server.
type transport struct {
	base  *http.Transport
	token string
}

// placeholderToken keeps Consul's client from looking for a token elsewhere.
const placeholderToken = "set by transport"

const tokenHeader = "X-Consul-Token"

// RoundTrip sends req with the configured token and notes the answer's status in
// the attempt that the request's context carries.
func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	req = req.Clone(req.Context())
	req.Header.Del(tokenHeader)
	if t.token != "" {
		req.Header.Set(tokenHeader, t.token)
	}
	query := req.URL.Query()
	query.Del("ns")
	query.Del("partition")
	req.URL.RawQuery = query.Encode()

	resp, err := t.base.RoundTrip(req)
	if a, ok := req.Context().Value(attemptKey{}).(*attempt); ok && err == nil {
		a.status.Store(int64(resp.StatusCode))
		if a.maxNames > 0 && resp.StatusCode == http.StatusOK {
			resp.Body = &namesBody{ReadCloser: resp.Body, left: 2 * a.maxNames}
		}
	}
	return resp, err
}

// attempt is what is known of one request, for telling a write that was not
// applied from one whose outcome is unknown.
type attempt struct {
	sent   atomic.Bool  // it had a connection, so something may have been written
	status atomic.Int64 // of the answer; 0 = there was none

	maxNames int // of a List: see namesBody; set before the request is made

	// may says why the request may not be sent over a connection; nil: any will do. It is
	// called, before anything is written, by the goroutine that makes the request.
	may     func(number uint64) error
	refused error // what may said; nothing was sent then, and nothing will be
}

type attemptKey struct{}

// begin returns a context for one request that ends after timeout, and the record
// of it.
func begin(ctx context.Context, timeout time.Duration) (context.Context, *attempt, context.CancelFunc) {
	a := new(attempt)
	ctx, cancel := context.WithTimeout(ctx, timeout)
	ctx = context.WithValue(ctx, attemptKey{}, a)
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		// Nothing is written before it returns. It is called again only if nothing was
		// written on the connection before.
		GotConn: func(got httptrace.GotConnInfo) {
			if a.may != nil && a.refused == nil {
				a.refused = a.may(numberOf(got.Conn))
			}
			if a.refused != nil {
				_ = got.Conn.Close() // a cancelled context would not keep net/http from writing
				return
			}
			a.sent.Store(true)
		},
	})
	return ctx, a, cancel
}

// idleTime is how long a connection that nobody uses is kept: longer than the active
// node's pause between two requests, which is a heartbeat, and short enough that what
// many requests at once have opened, watches that were given up among them, is soon gone.
const idleTime = 10 * time.Second

// numbered is a connection, with a number that is higher than that of any made before it.
type numbered struct {
	net.Conn

	number uint64
}

// numberOf returns the number of a connection that newTransport made.
func numberOf(c net.Conn) uint64 {
	if secured, ok := c.(*tls.Conn); ok {
		c = secured.NetConn()
	}
	if n, ok := c.(*numbered); ok {
		return n.number
	}
	return math.MaxUint64 // nobody's, so higher than any
}

// newTransport returns the base transport: no proxy and nothing else from the
// environment. It counts its connections in dials.
func newTransport(c Config, target target, dials *atomic.Uint64) (*http.Transport, error) {
	dialer := &net.Dialer{Timeout: c.Timeout, KeepAlive: 15 * time.Second}
	dial := func(ctx context.Context, network, address string) (net.Conn, error) {
		if target.socket != "" {
			network, address = "unix", target.socket
		}
		conn, err := dialer.DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return &numbered{Conn: conn, number: dials.Add(1)}, nil
	}
	t := &http.Transport{
		DialContext:         dial,
		TLSHandshakeTimeout: c.Timeout,
		MaxIdleConnsPerHost: c.MaxParallel,
		IdleConnTimeout:     idleTime,
	}
	if target.scheme == "https" {
		conf, err := c.tlsConfig(target.address)
		if err != nil {
			return nil, err
		}
		t.TLSClientConfig = conf
	}
	return t, nil
}

// tlsVersions are the values of tls_min_version, as Vault spells them.
var tlsVersions = map[string]uint16{"tls12": tls.VersionTLS12, "tls13": tls.VersionTLS13}

func (c Config) tlsConfig(address string) (*tls.Config, error) {
	conf, err := api.SetupTLSConfig(&api.TLSConfig{
		Address:            address,
		CAFile:             c.TLSCAFile,
		CertFile:           c.TLSCertFile,
		KeyFile:            c.TLSKeyFile,
		InsecureSkipVerify: c.TLSSkipVerify,
	})
	if err != nil {
		return nil, fmt.Errorf("load tls_ca_file, tls_cert_file or tls_key_file: %w", err)
	}
	conf.MinVersion = tlsVersions[c.TLSMinVersion]
	return conf, nil
}
