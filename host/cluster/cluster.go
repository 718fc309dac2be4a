// Package cluster is the traffic between the nodes of one Holdfast cluster.
//
// Every unsealed node serves the Cluster service on its cluster address (Serve). A
// standby keeps one connection to the active node (Dialer): it forwards clients'
// requests over it, and holds an Attach stream open that makes it a member and brings
// notices back. Both ends prove with a certificate of the cluster's own CA (CA) which
// node they are.
//
// The package moves messages. Whether a node is active, which epoch a request means
// and what may be sent again is for the caller to judge; what the package adds to that is
// whether a request has left this process at all (Dialer.Forward).
package cluster

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"time"

	"github.com/holdfast/holdfast/host/version"
)

const (
	// DefaultMaxRequestBytes is the largest body of a client's request that is forwarded
	// unless a config says otherwise.
	DefaultMaxRequestBytes = 1 << 20
	// MaxResponseBytes is the largest answer to a forwarded request, headers included.
	MaxResponseBytes = 64 << 20
	// DefaultEchoInterval is how often a standby says that it is alive.
	DefaultEchoInterval = time.Second

	// requestSlack is what a message may hold beside the body: as much as net/http lets a
	// request line and headers have by default.
	requestSlack = 1 << 20
	// missedEchoes in a row mean that the other end is gone.
	missedEchoes = 3
)

// The errors that callers tell apart.
var (
	// ErrRequestTooLarge: the request is over the limit of this node or of the one it was
	// sent to. It has not run.
	ErrRequestTooLarge = errors.New("request too large to forward")
	// ErrResponseTooLarge: the request has run, its answer is over MaxResponseBytes.
	ErrResponseTooLarge = errors.New("response too large to forward")
	// ErrClosed: the Dialer was closed.
	ErrClosed = errors.New("cluster dialer is closed")
	// ErrSilent: the other node did not answer echoes although its connection stands.
	ErrSilent = errors.New("node does not answer echoes")
)

// Target is a node to talk to.
type Target struct {
	Addr       string // host:port
	InstanceID string // the certificate must name it; empty means any node of the cluster
}

// ParseTarget makes a Target of a cluster address such as https://10.0.0.5:8201.
func ParseTarget(clusterAddress, instanceID string) (Target, error) {
	u, err := url.Parse(clusterAddress)
	if err != nil {
		return Target{}, fmt.Errorf("parse cluster address: %w", err)
	}
	if u.Scheme != "https" || u.Hostname() == "" || u.Port() == "" {
		return Target{}, fmt.Errorf("cluster address %q is not of the form https://host:port", clusterAddress)
	}
	if u.User != nil || u.RawQuery != "" || u.Fragment != "" || (u.Path != "" && u.Path != "/") {
		return Target{}, fmt.Errorf("cluster address %q has more than a host and a port", clusterAddress)
	}
	if instanceID != "" {
		if err := checkInstanceID(instanceID); err != nil {
			return Target{}, err
		}
	}
	return Target{Addr: net.JoinHostPort(u.Hostname(), u.Port()), InstanceID: instanceID}, nil
}

// Member is a standby that is attached to the active node.
type Member struct {
	InstanceID     string // the one in its certificate
	Hostname       string
	APIAddress     string
	ClusterAddress string
	Version        string      // of its software
	Speaks         version.Set // the newest of everything that it speaks
	// LastEcho is when it was heard of last, on this node's clock; elapsed time is
	// measured on the monotonic one. Not sent: zero in what a standby says of itself.
	LastEcho time.Time
	Attached time.Time // when it attached, on this node's clock; likewise
	Epoch    uint64    // of the term record that it saw last; likewise
}

const maxInstanceIDBytes = 64

// checkInstanceID keeps instance ids to what is safe in a URI, a log line and a shell.
func checkInstanceID(id string) error {
	if id == "" || len(id) > maxInstanceIDBytes {
		return fmt.Errorf("instance id has %d bytes, want 1 to %d", len(id), maxInstanceIDBytes)
	}
	for _, c := range []byte(id) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_':
		default:
			return fmt.Errorf("instance id %q has a character other than letters, digits, - and _", id)
		}
	}
	return nil
}
