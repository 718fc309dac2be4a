package plugintest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"strings"

	"github.com/holdfast/holdfast/sdk/storage"
	"github.com/holdfast/holdfast/sdk/storagetest"
)

var _ storagetest.Link = (*link)(nil)

// link is a proxy before the store, and processes of the plugin that know no other address.
type link struct {
	*storagetest.Proxy

	program *program
	options map[string]any // of the storage stanza
}

// linkOptions says how to make the plugin use a link.
type linkOptions struct {
	address string         // option that names the store
	more    map[string]any // options that keep the plugin from finding another way
}

// parseLink reads OPTION,NAME=VALUE,...
func parseLink(text string) (*linkOptions, error) {
	words := strings.Split(text, ",")
	if words[0] == "" || strings.Contains(words[0], "=") {
		return nil, errors.New("want OPTION, or OPTION,NAME=VALUE and so on")
	}
	l := &linkOptions{address: words[0], more: make(map[string]any)}
	for _, word := range words[1:] {
		name, value, ok := strings.Cut(word, "=")
		if !ok || name == "" {
			return nil, errors.New("want NAME=VALUE after the OPTION")
		}
		l.more[name] = value
	}
	return l, nil
}

// newLink puts a proxy before the address that the configuration names.
func (p *program) newLink(ctx context.Context, o *linkOptions) (*link, error) {
	configured, ok := p.spec.Options[o.address].(string)
	if !ok {
		return nil, fmt.Errorf("-link names option %q, which the configuration does not have", o.address)
	}
	scheme, address, ok := strings.Cut(configured, "://")
	if !ok {
		scheme, address = "", configured
	} else {
		scheme += "://"
	}
	address = strings.TrimSuffix(address, "/")
	if _, _, err := net.SplitHostPort(address); err != nil {
		return nil, fmt.Errorf("-link needs one host:port in option %q: %w", o.address, err)
	}
	proxy, err := storagetest.NewProxy(ctx, "tcp", "127.0.0.1:0", address)
	if err != nil {
		return nil, err
	}
	options := maps.Clone(p.spec.Options)
	maps.Copy(options, o.more)
	options[o.address] = scheme + proxy.Address()
	return &link{Proxy: proxy, program: p, options: options}, nil
}

// Open implements storagetest.Link.
func (l *link) Open(ctx context.Context) (storage.Backend, storage.Capabilities, error) {
	spec := l.program.spec
	spec.Options = l.options
	one, err := start(ctx, spec)
	if err != nil {
		return nil, storage.Capabilities{}, err
	}
	return one, one.Capabilities(), nil
}
