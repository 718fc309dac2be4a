package cluster

import (
	"crypto/tls"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// handshake runs both ends over a pipe and returns what each made of the other. The
// server speaks first after it, for with TLS 1.3 a client learns of its refusal only from that.
func handshake(t *testing.T, server, client *tls.Config) (serverErr, clientErr error) {
	t.Helper()
	a, b := net.Pipe()
	s, c := tls.Server(a, server), tls.Client(b, client)
	done := make(chan error, 1)
	go func() {
		_, err := s.Write([]byte("x"))
		done <- err
		_ = a.Close() // not s: nobody reads its last words
	}()
	_, clientErr = c.Read(make([]byte, 1))
	_ = b.Close()
	return <-done, clientErr
}

func configs(t *testing.T, ca *CA) (server, client *tls.Config) {
	t.Helper()
	a, err := ca.Issue("active")
	if err != nil {
		t.Fatal(err)
	}
	s, err := ca.Issue("standby")
	if err != nil {
		t.Fatal(err)
	}
	return ServerTLS(ca, a), ClientTLS(ca, s, "active")
}

func TestNodesOfOneClusterTrustEachOther(t *testing.T) {
	server, client := configs(t, newCA(t))
	if s, c := handshake(t, server, client); s != nil || c != nil {
		t.Errorf("server: %v, client: %v", s, c)
	}
}

func TestHandshakeRefuses(t *testing.T) {
	ca, foreign := newCA(t), newCA(t)
	foreignCert, err := foreign.Issue("standby")
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		change       func(server, client *tls.Config)
		serverErr    string // what the server says, if it is the one to refuse
		clientErr    string
		clientFailed bool
	}{
		"a client without certificate": {
			change:    func(_, client *tls.Config) { client.Certificates = nil },
			serverErr: "didn't provide a certificate", clientFailed: true,
		},
		"a client of another cluster": {
			change:    func(_, client *tls.Config) { client.Certificates = []tls.Certificate{foreignCert} },
			serverErr: "certificate", clientFailed: true,
		},
		"a server of another cluster": {
			change:    func(server, _ *tls.Config) { server.Certificates = []tls.Certificate{foreignCert} },
			clientErr: "unknown authority",
		},
		"a server that is another instance": {
			change: func(server, _ *tls.Config) {
				other, err := ca.Issue("successor")
				if err != nil {
					t.Fatal(err)
				}
				server.Certificates = []tls.Certificate{other}
			},
			clientErr: "instance successor, want active",
		},
		"TLS 1.2": {
			change:    func(_, client *tls.Config) { client.MinVersion, client.MaxVersion = tls.VersionTLS12, tls.VersionTLS12 },
			serverErr: "version", clientFailed: true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			server, client := configs(t, ca)
			tc.change(server, client)
			serverErr, clientErr := handshake(t, server, client)
			if tc.serverErr != "" && (serverErr == nil || !strings.Contains(serverErr.Error(), tc.serverErr)) {
				t.Errorf("server: got %v, want an error with %q", serverErr, tc.serverErr)
			}
			if tc.clientErr != "" && (clientErr == nil || !strings.Contains(clientErr.Error(), tc.clientErr)) {
				t.Errorf("client: got %v, want an error with %q", clientErr, tc.clientErr)
			}
			if tc.clientFailed && clientErr == nil {
				t.Error("the client read an answer")
			}
		})
	}
}

func TestClientWithoutExpectationTakesAnyNode(t *testing.T) {
	ca := newCA(t)
	server, client := configs(t, ca)
	client = ClientTLS(ca, client.Certificates[0], "")
	if s, c := handshake(t, server, client); s != nil || c != nil {
		t.Errorf("server: %v, client: %v", s, c)
	}
}

// A bubble's clock starts in 2000, far before the certificates were made, and can be moved.
func TestClocksDoNotMatter(t *testing.T) {
	server, client := configs(t, newCA(t))
	synctest.Test(t, func(t *testing.T) {
		for range 2 {
			if s, c := handshake(t, server, client); s != nil || c != nil {
				t.Errorf("in %d: server: %v, client: %v", time.Now().Year(), s, c)
			}
			<-time.After(200 * 365 * 24 * time.Hour)
		}
	})
}

func TestCertificateInstanceRefusesForeignNames(t *testing.T) {
	ca := newCA(t)
	cert, err := ca.Issue("n1")
	if err != nil {
		t.Fatal(err)
	}
	leaf := *cert.Leaf
	leaf.URIs = nil
	if id, err := certificateInstance(&leaf); err == nil {
		t.Errorf("no URI: got %q", id)
	}
	uri := *cert.Leaf.URIs[0]
	uri.Host = "elsewhere"
	leaf.URIs = append(leaf.URIs, &uri)
	if id, err := certificateInstance(&leaf); err == nil {
		t.Errorf("another host: got %q", id)
	}
	if _, err := peerInstance(tls.ConnectionState{}); err == nil {
		t.Error("a peer without certificate has an instance id")
	}
	if _, ok := RemoteInstance(t.Context()); ok {
		t.Error("a context without connection has a remote instance")
	}
}
