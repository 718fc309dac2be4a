package config

import (
	"crypto/tls"
	"errors"
	"fmt"
	"strings"
	"time"
)

// stanza returns the rule of a labelled block: in HCL name "label" { ... }, in JSON
// {"name": {"label": {...}}}, where lists may stand in for the objects.
func stanza(name string, load func(l *loader, c *Config, label string, o *object) error) rule[Config] {
	return rule[Config]{repeats: true, set: func(l *loader, c *Config, e entry) error {
		if len(e.labels) > 1 {
			return fmt.Errorf("has %d labels, not one", len(e.labels))
		}
		blocks, err := labelled(e)
		if err != nil {
			return fmt.Errorf(`%w: write %s "type" { ... }`, err, name)
		}
		for _, b := range blocks {
			if err := load(l, c, b.label, b.object); err != nil {
				l.fail(b.object.at, fmt.Sprintf("%s %q", name, b.label), err)
			}
		}
		return nil
	}}
}

type block struct {
	label  string
	object *object
}

// labelled returns the blocks of an entry.
func labelled(e entry) ([]block, error) {
	var blocks []block
	for _, outer := range objects(e.value) {
		if outer == nil {
			return nil, errors.New("must be a block")
		}
		if len(e.labels) == 1 {
			blocks = append(blocks, block{e.labels[0], outer})
			continue
		}
		for _, inner := range outer.entries {
			for _, o := range objects(inner.value) {
				if o == nil || len(inner.labels) > 0 {
					return nil, errors.New("has no label")
				}
				blocks = append(blocks, block{inner.key, o})
			}
		}
	}
	return blocks, nil
}

// objects returns value, or the elements of value, as objects; nil stands for one
// that is none.
func objects(value any) []*object {
	values, ok := value.([]any)
	if !ok {
		values = []any{value}
	}
	list := make([]*object, len(values))
	for i, v := range values {
		list[i], _ = v.(*object)
	}
	return list
}

// loadStorage reads the one storage stanza. The options are the plugin's, save for
// the addresses that old configurations of Vault have there.
func loadStorage(l *loader, c *Config, label string, o *object) error {
	if l.storage != nil {
		return fmt.Errorf("there is a storage stanza at %s already, and can be one only", *l.storage)
	}
	l.storage = &o.at
	if label == "" {
		return errors.New("has no type")
	}
	c.Storage = Storage{Type: label, Options: map[string]any{}, at: o.at, places: map[string]position{}}
	for _, e := range o.entries {
		path := "storage." + e.key
		switch strings.ToLower(e.key) {
		case "redirect_addr", "advertise_addr":
			l.legacyAddr(e, path, &l.legacyAPI, "api_addr")
			continue
		case "cluster_addr":
			l.legacyAddr(e, path, &l.legacyCluster, "cluster_addr")
			continue
		case "disable_clustering":
			l.warn(e.at, path, "ignored: standby nodes always forward to the active one")
			continue
		}
		if _, twice := c.Storage.Options[e.key]; twice {
			l.fail(e.at, path, errors.New("is set twice"))
			continue
		}
		if err := checkOption(e); err != nil {
			l.fail(e.at, path, err)
			continue
		}
		c.Storage.Options[e.key], c.Storage.places[e.key] = e.value, e.at
	}
	return nil
}

// legacyAddr takes an address that belongs at the top of the file.
func (l *loader) legacyAddr(e entry, path string, into *string, key string) {
	addr, err := asText(e.value)
	if err != nil {
		l.fail(e.at, path, err)
		return
	}
	*into = addr
	l.warn(e.at, path, "is an old place for "+key+": set that, at the top of the file")
}

// checkOption refuses what a plugin's option can not be.
func checkOption(e entry) error {
	values, isList := e.value.([]any)
	if !isList {
		values = []any{e.value}
	}
	for _, v := range values {
		switch v.(type) {
		case string, bool, int64, float64:
		default:
			return fmt.Errorf("must be a string, a boolean, a number or a list of them; it holds %s", kind(v))
		}
	}
	return nil
}

func loadListener(l *loader, c *Config, label string, o *object) error {
	if !strings.EqualFold(label, "tcp") {
		return errors.New(`only listener "tcp" is supported`)
	}
	next := defaultListener()
	next.at = o.at
	apply(l, "listener", o, listenerRules(), &next)
	c.Listeners = append(c.Listeners, next)
	return nil
}

func defaultListener() Listener {
	return Listener{
		Address: "127.0.0.1:8200",
		TLS:     TLS{MinVersion: tls.VersionTLS12},
		Limits: Limits{
			MaxRequestSize:    1 << 20,
			ReadTimeout:       30 * time.Second,
			ReadHeaderTimeout: 5 * time.Second,
			IdleTimeout:       5 * time.Minute,
		},
	}
}

func loadPlugin(l *loader, c *Config, label string, o *object) error {
	next := c.Plugins[label]
	apply(l, "plugin", o, map[string]rule[Plugin]{
		"sha256":  text(func(p *Plugin) *string { return &p.SHA256 }),
		"command": text(func(p *Plugin) *string { return &p.Command }),
		"args":    list(func(p *Plugin) *[]string { return &p.Args }),
		"env":     list(func(p *Plugin) *[]string { return &p.Env }),
		"attach":  text(func(p *Plugin) *string { return &p.Attach }),

		"user":           text(func(p *Plugin) *string { return &p.User }),
		"no_new_privs":   used(asOpposite, func(p *Plugin) *bool { return &p.NewPrivileges }),
		"max_open_files": used(asCount, func(p *Plugin) *int64 { return &p.MaxOpenFiles }),
		"max_memory":     used(asMemory, func(p *Plugin) *int64 { return &p.MaxMemory }),
	}, &next)
	c.Plugins[label] = next
	return nil
}

// loadSeal accepts the one seal there is.
func loadSeal(l *loader, _ *Config, label string, o *object) error {
	if label != "shamir" {
		return errors.New(shamirOnly)
	}
	for _, e := range o.entries {
		l.warn(e.at, "seal."+e.key, "ignored: the number of key shares is chosen by operator init")
	}
	return nil
}

func loadHA(l *loader, c *Config, e entry) error {
	if len(e.labels) > 0 {
		return errors.New("has no label: write ha { ... }")
	}
	for _, o := range objects(e.value) {
		if o == nil {
			return errors.New("must be a block: write ha { ... }")
		}
		apply(l, "ha", o, map[string]rule[HA]{
			"lease":     duration(func(h *HA) *time.Duration { return &h.Lease }),
			"beat":      duration(func(h *HA) *time.Duration { return &h.Beat }),
			"hold":      duration(func(h *HA) *time.Duration { return &h.Hold }),
			"read_mode": used(asReadMode, func(h *HA) *ReadMode { return &h.ReadMode }),
		}, &c.HA)
	}
	return nil
}

func asReadMode(value any) (ReadMode, error) {
	switch mode, _ := value.(string); ReadMode(mode) {
	case ReadLease, ReadStrict:
		return ReadMode(mode), nil
	default:
		return "", fmt.Errorf("must be %q or %q", ReadLease, ReadStrict)
	}
}
