package advertise

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strings"

	"github.com/hashicorp/go-sockaddr/template"
)

// Cluster returns the cluster address: the configured one, if that is not empty, else
// the host of the API address and the port after its own. Its scheme is https, whatever
// was configured: other nodes speak TLS to it.
func Cluster(configured string, api Address) (Address, error) {
	if configured != "" {
		a, err := configuredURL("cluster_addr", configured)
		if err != nil {
			return Address{}, err
		}
		if rest, ok := strings.CutPrefix(a.URL, "http://"); ok {
			a.URL = "https://" + rest
		}
		return a, nil
	}
	u, err := parseURL(api.URL)
	if err != nil {
		return Address{}, fmt.Errorf("API address %q: %w", api.URL, err)
	}
	port := 443
	if u.Scheme == "http" {
		port = 80
	}
	if text := u.Port(); text != "" {
		if port, err = parsePort(text); err != nil {
			return Address{}, fmt.Errorf("API address %q: %w", api.URL, err)
		}
	}
	next, err := nextPort(port)
	if err != nil {
		return Address{}, fmt.Errorf("%w: set cluster_addr", err)
	}
	return Address{
		URL:    "https://" + net.JoinHostPort(u.Hostname(), next),
		Origin: "API address and the port after its own",
	}, nil
}

// Expand evaluates a go-sockaddr template to one address, or returns text that is
// none as it is.
func Expand(text string) (string, error) {
	if !strings.Contains(text, "{{") {
		return text, nil
	}
	out, err := template.Parse(text)
	if err != nil {
		return "", fmt.Errorf("evaluate the address template %q: %w", text, err)
	}
	switch fields := strings.Fields(out); len(fields) {
	case 0:
		return "", fmt.Errorf("address template %q finds no address on this machine", text)
	case 1:
		return fields[0], nil
	default:
		return "", fmt.Errorf("address template %q finds %d addresses (%s): make it choose one", text, len(fields), out)
	}
}

// configuredURL checks the address that was configured under key.
func configuredURL(key, text string) (Address, error) {
	expanded, err := Expand(text)
	if err != nil {
		return Address{}, fmt.Errorf("%s: %w", key, err)
	}
	expanded = strings.TrimRight(expanded, "/")
	if _, err := parseURL(expanded); err != nil {
		return Address{}, fmt.Errorf("%s %q: %w", key, expanded, err)
	}
	return Address{URL: expanded, Origin: key + " as configured"}, nil
}

// parseURL accepts scheme://host[:port] that another machine can connect to.
func parseURL(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil {
		// url.Error repeats the text, which the caller names.
		if cause, ok := errors.AsType[*url.Error](err); ok {
			err = cause.Err
		}
		return nil, fmt.Errorf("is not a URL: %w", err)
	}
	switch {
	case u.Scheme != "http" && u.Scheme != "https" || u.Opaque != "":
		return nil, errors.New("must begin with http:// or https://")
	case u.Hostname() == "":
		return nil, errors.New("names no host")
	case u.User != nil:
		return nil, errors.New("must not hold a user name or password")
	case u.Path != "" || u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return nil, errors.New("must end after host and port")
	}
	if u.Port() != "" {
		if _, err := parsePort(u.Port()); err != nil {
			return nil, err
		}
	}
	if addr, err := netip.ParseAddr(u.Hostname()); err == nil && addr.Unmap().IsUnspecified() {
		return nil, errors.New("is the address of every machine and of none: name the one at which others reach this node")
	}
	return u, nil
}
