// Package pluginspec says which plugin a configuration means, the same to the server and to the
// commands that inspect plugins.
package pluginspec

import (
	"github.com/holdfast/holdfast/host/config"
	"github.com/holdfast/holdfast/host/plugin"
)

// Of returns how cfg wants the plugin of storageType to be run. The options are those of the
// storage stanza, if that is of this type.
func Of(cfg *config.Config, storageType string) plugin.Spec {
	p := cfg.Plugins[storageType]
	spec := plugin.Spec{
		Type: storageType, Directory: cfg.PluginDirectory,
		Command: p.Command, Args: p.Args, Env: p.Env, SHA256: p.SHA256, Attach: p.Attach,
		Confinement: plugin.Confinement{
			User: p.User, NewPrivileges: p.NewPrivileges,
			MaxOpenFiles: uint64(p.MaxOpenFiles), MaxMemory: uint64(p.MaxMemory), // not negative
		},
	}
	if cfg.Storage.Type == storageType {
		spec.Options, spec.Place = cfg.Storage.Options, cfg.Storage.Place
	}
	return spec
}
