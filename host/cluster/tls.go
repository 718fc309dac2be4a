package cluster

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/hashicorp/go-hclog"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
)

// ServerTLS is the TLS configuration of a node's cluster listener: TLS 1.3, and only
// peers with a certificate of the cluster's CA. cert is from ca.Issue.
func ServerTLS(ca *CA, cert tls.Certificate) *tls.Config {
	config := commonTLS(cert)
	config.ClientAuth = tls.RequireAndVerifyClientCert
	config.ClientCAs = ca.pool()
	// A ticket's age is measured with config.Time, which stands still: its key would never
	// be changed. Connections last long, so resuming them gains nothing.
	config.SessionTicketsDisabled = true
	config.VerifyConnection = func(state tls.ConnectionState) error {
		_, err := peerInstance(state)
		return err
	}
	return config
}

// ClientTLS is the TLS configuration of a connection to the node called instanceID, or to
// any node of the cluster if that is empty. cert is from ca.Issue.
func ClientTLS(ca *CA, cert tls.Certificate, instanceID string) *tls.Config {
	config := commonTLS(cert)
	config.RootCAs = ca.pool()
	config.ServerName = nodeName
	config.VerifyConnection = func(state tls.ConnectionState) error {
		got, err := peerInstance(state)
		if err != nil {
			return err
		}
		if instanceID != "" && got != instanceID {
			return fmt.Errorf("the node is instance %s, want %s: it was restarted or another one has its address", got, instanceID)
		}
		return nil
	}
	return config
}

func commonTLS(cert tls.Certificate) *tls.Config {
	return &tls.Config{
		Certificates: []tls.Certificate{cert},
		MinVersion:   tls.VersionTLS13,
		NextProtos:   []string{"h2"},
		Time:         func() time.Time { return verifyAt },
	}
}

func (ca *CA) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(ca.cert)
	return pool
}

// peerInstance returns the instance id of a peer whose chain crypto/tls has verified.
func peerInstance(state tls.ConnectionState) (string, error) {
	if len(state.PeerCertificates) == 0 {
		return "", errors.New("the peer has sent no certificate")
	}
	return certificateInstance(state.PeerCertificates[0])
}

// RemoteInstance returns the instance id, from its verified certificate, of the node that
// sent the request ctx belongs to. It is false outside of a Handler's calls.
func RemoteInstance(ctx context.Context) (string, bool) {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return "", false
	}
	info, ok := p.AuthInfo.(credentials.TLSInfo)
	if !ok {
		return "", false
	}
	id, err := peerInstance(info.State)
	return id, err == nil
}

// loggedHandshakes are server credentials that tell the operator why a peer was refused;
// gRPC itself keeps that to itself.
type loggedHandshakes struct {
	credentials.TransportCredentials
	log hclog.Logger
}

func (l loggedHandshakes) ServerHandshake(raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	conn, info, err := l.TransportCredentials.ServerHandshake(raw)
	if err != nil {
		// Debug: whoever reaches the port can cause it, as often as they like.
		l.log.Debug("refused a connection to the cluster address", "remote_addr", raw.RemoteAddr().String(), "error", err)
	}
	return conn, info, err
}

func (l loggedHandshakes) Clone() credentials.TransportCredentials {
	return loggedHandshakes{TransportCredentials: l.TransportCredentials.Clone(), log: l.log}
}
