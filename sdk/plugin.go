// Package sdk turns a Go type into a storage plugin of Holdfast: a program that the
// server starts from its plugin directory and talks to over gRPC.
//
// An author writes a config struct, a type that implements storage.Backend, or
// storage.HABackend for high availability, a [Plugin] that ties them together, and
//
//	func main() { sdk.Main(consul.Plugin) }
//
// Logs with levels, limits, panics caught, the handshake, clean exits and the commands
// of the binary (describe, docs, version, serve) come with [Main].
package sdk

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"runtime/debug"

	"github.com/hashicorp/go-hclog"

	"github.com/holdfast/holdfast/sdk/internal/config"
	"github.com/holdfast/holdfast/sdk/storage"
	"github.com/holdfast/holdfast/sdk/wire"
)

// Plugin is what an author hands to [Main]. C is the config struct. B is the type of the
// backend: when it implements storage.HABackend, the plugin offers high
// availability, and nothing else switches that on.
//
// The fields of C that are options of the storage stanza carry tags:
//
//	Address string        `config:"address" desc:"address of the agent" required:"true"`
//	Token   string        `config:"token" desc:"access token" secret:"true"`
//	Timeout time.Duration `config:"timeout" desc:"limit for one request"`
//
// Their types are string, bool, any int or uint, time.Duration ("15s", or a number of
// seconds) and []string (a list, or a text with commas). An option that is unknown,
// unreadable, or required and missing is refused by name before Open, and so is a C whose
// method Validate() error objects. Values of secret options appear in no error.
//
// Every plugin also has the option ha_enabled; false sets Capabilities.HADisabled.
type Plugin[C any, B storage.Backend] struct {
	Name    string // type of the storage stanza; the binary is holdfast-storage-<Name>
	Version string // of the plugin, free text
	// Defaults are the values of options that the stanza leaves out.
	Defaults C
	// Open connects to the store and says what it can do. ctx bounds Open only: what
	// lives longer is ended by the backend's Close. Open may be called several times in
	// one process, also at once. Its error goes to the operator.
	Open func(ctx context.Context, config C, env Env) (B, storage.Capabilities, error)
}

// Env is what the process offers to a backend.
type Env struct {
	Logger hclog.Logger // goes to the host's log, level by level
	// MaxLimits are the most a backend may declare in its Capabilities.
	MaxLimits storage.Limits
}

// haOption is handled here, so that authors need not, and reads the same everywhere.
type haOption struct {
	Enabled bool `config:"ha_enabled" desc:"whether several servers may share this storage, one of them active"`
}

// implementation checks p and makes of it what package wire serves.
func (p Plugin[C, B]) implementation(logger hclog.Logger) (wire.Implementation, error) {
	if p.Name == "" || p.Open == nil {
		return wire.Implementation{}, errors.New("plugin has no Name or no Open")
	}
	ha := reflect.TypeFor[B]().Implements(reflect.TypeFor[storage.HABackend]())
	own, err := config.NewSchema(p.Defaults)
	if err != nil {
		return wire.Implementation{}, fmt.Errorf("plugin %s: %w", p.Name, err)
	}
	common, err := config.NewSchema(haOption{Enabled: ha})
	if err != nil {
		return wire.Implementation{}, fmt.Errorf("plugin %s: %w", p.Name, err)
	}
	options := own.Options()
	for _, o := range options {
		if o.Name == haEnabled {
			return wire.Implementation{}, fmt.Errorf("plugin %s: option %q belongs to the SDK", p.Name, haEnabled)
		}
	}
	o := opener[C, B]{plugin: p, schema: own, common: common, ha: ha, env: Env{Logger: logger, MaxLimits: wire.MaxLimits()}}
	return wire.Implementation{
		Description: wire.Description{
			Name:     p.Name,
			Version:  p.Version,
			SDK:      sdkVersion(),
			Services: wire.Services(ha),
			Options:  describeOptions(append(options, common.Options()...)),
			HA:       ha,
			LastWill: ha,
		},
		Open: o.open,
	}, nil
}

const haEnabled = "ha_enabled"

// opener opens backends of one Plugin from storage stanzas.
type opener[C any, B storage.Backend] struct {
	plugin Plugin[C, B]
	schema *config.Schema // of C
	common *config.Schema // of haOption
	ha     bool           // B is an HABackend
	env    Env
}

func (o opener[C, B]) open(ctx context.Context, configJSON []byte) (storage.Backend, storage.Capabilities, error) {
	cfg, enabled, err := o.decode(configJSON)
	if err != nil {
		return nil, storage.Capabilities{}, fmt.Errorf("%w: %w", wire.ErrInvalidConfig, err)
	}
	backend, capabilities, err := o.plugin.Open(ctx, cfg, o.env)
	if err != nil {
		return nil, storage.Capabilities{}, err
	}
	if o.ha && !enabled {
		capabilities.HADisabled = true
	}
	return backend, capabilities, nil
}

func (o opener[C, B]) decode(configJSON []byte) (cfg C, enabled bool, err error) {
	stanza, err := config.ParseStanza(configJSON)
	if err != nil {
		return cfg, false, err
	}
	shared := config.Stanza{}
	if raw, given := stanza[haEnabled]; given {
		shared[haEnabled] = raw
		delete(stanza, haEnabled)
	}
	var option haOption
	sharedErr := o.common.Decode(shared, &option)
	if option.Enabled && !o.ha {
		sharedErr = fmt.Errorf("option %q: this storage has no high availability, leave it out or say false", haEnabled)
	}
	return cfg, option.Enabled, errors.Join(o.schema.Decode(stanza, &cfg), sharedErr)
}

func describeOptions(options []config.Option) []wire.Option {
	out := make([]wire.Option, len(options))
	for i, o := range options {
		out[i] = wire.Option(o)
	}
	return out
}

// sdkVersion says which release of this package and of Go the binary was built with.
func sdkVersion() string {
	const module = "github.com/holdfast/holdfast"
	version := "(devel)"
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range append(info.Deps, &info.Main) {
			if m.Path == module && m.Version != "" {
				version = m.Version
			}
		}
	}
	return "holdfast sdk " + version + " " + runtime.Version()
}
