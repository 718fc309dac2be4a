package config

import (
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Limits of the HA timing. The lease must outlast a few beats, or one slow Commit
// makes every read wait.
const (
	minLease      = 500 * time.Millisecond
	maxLease      = time.Minute
	minBeat       = 20 * time.Millisecond
	beatsPerLease = 4
	maxHold       = time.Minute
)

// Validate reports everything that makes c unusable, each with the key to change.
func (c *Config) Validate() error {
	errs := []error{c.HA.validate()}
	if c.Storage.Type == "" {
		errs = append(errs, errors.New(`storage: there is no storage stanza: write storage "consul" { ... }`))
	} else if p := c.Plugins[c.Storage.Type]; c.PluginDirectory == "" && p.Command == "" && p.Attach == "" {
		errs = append(errs, errors.New("plugin_directory: is not set: name the directory of the storage plugins"))
	}
	if len(c.Listeners) == 0 {
		errs = append(errs, errors.New(`listener: there is none: write listener "tcp" { ... }`))
	}
	for _, l := range c.Listeners {
		if err := l.validate(); err != nil {
			errs = append(errs, err)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.Plugins)) {
		if err := c.Plugins[name].validate(); err != nil {
			errs = append(errs, fmt.Errorf("plugin %q: %w", name, err))
		}
	}
	if c.MaxRequestDuration <= 0 {
		errs = append(errs, errors.New("default_max_request_duration: must be longer than 0"))
	}
	return errors.Join(errs...)
}

func (h HA) validate() error {
	var errs []error
	if h.Lease < minLease || h.Lease > maxLease {
		errs = append(errs, fmt.Errorf("ha.lease: %v is not from %v to %v", h.Lease, minLease, maxLease))
	}
	if h.Beat < minBeat || h.Beat > h.Lease/beatsPerLease {
		errs = append(errs, fmt.Errorf("ha.beat: %v is not from %v to a quarter of ha.lease, %v", h.Beat, minBeat, h.Lease/beatsPerLease))
	}
	if h.Hold < 0 || h.Hold > maxHold {
		errs = append(errs, fmt.Errorf("ha.hold: %v is not from 0s to %v", h.Hold, maxHold))
	}
	return errors.Join(errs...)
}

func (l Listener) validate() error {
	var errs []error
	fail := func(key, message string) {
		errs = append(errs, &KeyError{File: l.at.file, Line: l.at.line, Key: "listener." + key, Err: errors.New(message)})
	}
	if !isHostPort(l.Address) {
		fail("address", "must be host:port")
	}
	if l.ClusterAddress != "" && !isHostPort(l.ClusterAddress) {
		fail("cluster_address", "must be host:port")
	}
	switch t := l.TLS; {
	case t.Disable && (t.RequireClientCert || t.ClientCAFile != ""):
		fail("tls_disable", "clients can not show certificates without TLS")
	case t.Disable:
	case t.CertFile == "" && t.KeyFile == "":
		fail("tls_cert_file", "tls_cert_file and tls_key_file are not set; to serve plain HTTP, set tls_disable = true")
	case t.CertFile == "":
		fail("tls_cert_file", "is not set")
	case t.KeyFile == "":
		fail("tls_key_file", "is not set")
	case t.RequireClientCert && t.DisableClientCerts:
		fail("tls_disable_client_certs", "contradicts tls_require_and_verify_client_cert")
	case t.MaxVersion != 0 && t.MaxVersion < t.MinVersion:
		fail("tls_max_version", "is older than tls_min_version")
	}
	return errors.Join(errs...)
}

// isHostPort reports whether text is host:port, or a template, which only the
// machine's interfaces can tell.
func isHostPort(text string) bool {
	if strings.Contains(text, "{{") {
		return true
	}
	_, port, err := net.SplitHostPort(text)
	return err == nil && port != ""
}

func (p Plugin) validate() error {
	var errs []error
	if p.SHA256 != "" {
		if sum, err := hex.DecodeString(p.SHA256); err != nil || len(sum) != 32 {
			errs = append(errs, errors.New("sha256: must be 64 hexadecimal digits"))
		}
	}
	if p.Command != "" && !filepath.IsAbs(p.Command) {
		errs = append(errs, errors.New("command: must be an absolute path"))
	}
	for _, variable := range p.Env {
		if name, _, ok := strings.Cut(variable, "="); !ok || name == "" {
			errs = append(errs, errors.New("env: each must be NAME=value"))
			break
		}
	}
	if p.Attach != "" {
		if path, ok := strings.CutPrefix(p.Attach, "unix://"); !ok || !filepath.IsAbs(path) {
			errs = append(errs, errors.New("attach: must be unix:// and an absolute path"))
		}
		if p.Command != "" || p.SHA256 != "" || len(p.Args) > 0 || len(p.Env) > 0 || p.Confinement != (Confinement{}) {
			errs = append(errs, errors.New("attach: a plugin that runs already is not started: "+
				"take out command, args, env, sha256, user, no_new_privs, max_open_files and max_memory"))
		}
	}
	return errors.Join(errs...)
}
