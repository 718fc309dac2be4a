// Package advertise decides under which addresses a node tells others to reach it:
// clients at the API address, other nodes at the cluster address. What is advertised
// is not what is bound: a node may listen on every interface, and has to name one.
package advertise

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
)

// ErrNoAddress means that there is no address to advertise. A node with high availability can
// not start without one.
var ErrNoAddress = errors.New("no address to advertise: set api_addr (or HOLDFAST_API_ADDR) to the URL at which other nodes and clients reach this node")

// Listener is what matters here of an API listener.
type Listener struct {
	// Address is the bound host:port, where host may be empty, an address or a name.
	Address string
	// ClusterAddress is the host:port to bind for other nodes; empty for the host of
	// Address and the port after its own.
	ClusterAddress string
	// TLS is false for plain HTTP.
	TLS bool
}

// Address is an advertise address and how it was come by.
type Address struct {
	URL    string // scheme://host:port, without a path
	Origin string // for the log and the banner, for example "first private address, on eth0"
}

// API returns the API address. It is the configured one, if that is not empty: an
// absolute URL or a go-sockaddr template of one. Else a listener on a specific address
// gives its own, and one on a wildcard the first private address of interfaces: RFC 1918
// before fc00::/7, the interface of the default route before the others, then their
// order. Only families that the listener serves count; loopback, link-local, shared
// (100.64.0.0/10) and documentation ranges never do. Of several listeners the first
// decides that others can reach; one on a loopback address decides if there is no
// other. ErrNoAddress if none gives an address.
func API(configured string, listeners []Listener, interfaces []Interface) (Address, error) {
	if configured != "" {
		return configuredURL("api_addr", configured)
	}
	var loopback *Address
	for _, l := range listeners {
		host, port, err := splitListener(l.Address)
		if err != nil {
			return Address{}, err
		}
		found := Address{Origin: "address of the listener"}
		families, wildcard := wildcardFamilies(host)
		if wildcard {
			private, ok := firstPrivate(interfaces, families)
			if !ok {
				continue
			}
			host = private.addr.String()
			found.Origin = "first private address, on " + private.name
		}
		found.URL = scheme(l.TLS) + "://" + net.JoinHostPort(host, strconv.Itoa(port))
		if _, err := parseURL(found.URL); err != nil {
			return Address{}, fmt.Errorf("advertise the listener's address %q: it %w; set api_addr", found.URL, err)
		}
		if !isLoopback(host) {
			return found, nil
		}
		if loopback == nil {
			loopback = &found
		}
	}
	if loopback != nil {
		return *loopback, nil
	}
	return Address{}, ErrNoAddress
}

// firstPrivate returns the address to advertise for a wildcard listener.
func firstPrivate(interfaces []Interface, serves families) (candidate, bool) {
	for _, pass := range []struct {
		family  families
		matches func(netip.Addr) bool
		first   func(Interface) bool
	}{
		{ipv4, netip.Addr.Is4, func(i Interface) bool { return i.DefaultRoute4 }},
		{ipv6, netip.Addr.Is6, func(i Interface) bool { return i.DefaultRoute6 }},
	} {
		if serves&pass.family == 0 {
			continue
		}
		for _, preferred := range []bool{true, false} {
			for _, i := range interfaces {
				if !i.Up || pass.first(i) != preferred {
					continue
				}
				for _, addr := range i.Addrs {
					// IsPrivate is RFC 1918 and fc00::/7, none of the excluded ranges.
					if addr = addr.Unmap().WithZone(""); addr.IsPrivate() && pass.matches(addr) {
						return candidate{addr, i.Name}, true
					}
				}
			}
		}
	}
	return candidate{}, false
}

type candidate struct {
	addr netip.Addr
	name string // of the interface
}

func scheme(tls bool) string {
	if tls {
		return "https"
	}
	return "http"
}
