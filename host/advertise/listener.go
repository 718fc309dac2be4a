package advertise

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
)

// families is a set of address families.
type families uint8

const (
	ipv4 families = 1 << iota
	ipv6
)

// Network returns what to pass to net.Listen for a listener on that address: "tcp4"
// for one on an IPv4 address, since Go would serve IPv6 too on 0.0.0.0, and "tcp".
func Network(address string) string {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return "tcp"
	}
	if addr, err := netip.ParseAddr(host); err == nil && addr.Unmap().Is4() {
		return "tcp4"
	}
	return "tcp"
}

// ClusterBind returns the host:port on which to listen for other nodes: what the
// listener says, else its host and the port after its own.
func ClusterBind(l Listener) (string, error) {
	if l.ClusterAddress != "" {
		if _, _, err := splitListener(l.ClusterAddress); err != nil {
			return "", fmt.Errorf("cluster_address of the listener: %w", err)
		}
		return l.ClusterAddress, nil
	}
	host, port, err := splitListener(l.Address)
	if err != nil {
		return "", err
	}
	next, err := nextPort(port)
	if err != nil {
		return "", fmt.Errorf("%w: set cluster_address of the listener", err)
	}
	return net.JoinHostPort(host, next), nil
}

// wildcardFamilies returns the families served by a listener on host, and whether
// it listens on all addresses of them.
func wildcardFamilies(host string) (families, bool) {
	if host == "" {
		return ipv4 | ipv6, true
	}
	addr, err := netip.ParseAddr(host)
	if err != nil || !addr.Unmap().IsUnspecified() {
		return 0, false
	}
	if addr.Unmap().Is4() {
		return ipv4, true
	}
	return ipv4 | ipv6, true
}

func isLoopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.Unmap().IsLoopback()
}

// splitListener splits host:port. The port must be the one that was bound.
func splitListener(address string) (host string, port int, err error) {
	host, text, err := net.SplitHostPort(address)
	if err != nil {
		return "", 0, fmt.Errorf("listener address %q is not host:port: %w", address, err)
	}
	port, err = parsePort(text)
	if err != nil {
		return "", 0, fmt.Errorf("listener address %q: %w", address, err)
	}
	return host, port, nil
}

func parsePort(text string) (int, error) {
	port, err := strconv.ParseUint(text, 10, 16)
	if err != nil || port == 0 {
		return 0, fmt.Errorf("port %q is not a number from 1 to 65535", text)
	}
	return int(port), nil
}

func nextPort(port int) (string, error) {
	if port >= 65535 {
		return "", fmt.Errorf("there is no port after %d for other nodes", port)
	}
	return strconv.Itoa(port + 1), nil
}
