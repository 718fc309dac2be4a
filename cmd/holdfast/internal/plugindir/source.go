package plugindir

import (
	"errors"
	"flag"
	"fmt"
	"maps"
	"slices"

	"github.com/holdfast/holdfast/cmd/holdfast/internal/pluginspec"
	"github.com/holdfast/holdfast/host/config"
	"github.com/holdfast/holdfast/host/plugin"
)

// source is where the commands learn which plugins there are.
type source struct {
	directory string
	configs   []string

	config *config.Config // made by load; has no more than the directory without -config
}

func (s *source) declare(f *flag.FlagSet) {
	f.StringVar(&s.directory, "plugin-dir", "", "`directory` of the plugins; wins over the configuration")
	f.Func("config", "configuration `file` or directory of a server: its plugin_directory, and what its plugin stanzas say; may be repeated", func(path string) error {
		s.configs = append(s.configs, path)
		return nil
	})
}

func (s *source) load() error {
	s.config = config.Default()
	if s.directory == "" && len(s.configs) == 0 {
		return errors.New("say where the plugins are, with -plugin-dir=DIR or -config=FILE")
	}
	if len(s.configs) > 0 {
		var err error
		if s.config, _, err = config.Load(s.configs); err != nil { // the server shows the warnings
			return err
		}
	}
	if s.directory != "" {
		s.config.PluginDirectory = s.directory
	}
	return nil
}

// specs returns the plugins, sorted by type: those in the directory, and those that the
// configuration names.
func (s *source) specs() ([]plugin.Spec, error) {
	types := map[string]bool{}
	if s.config.PluginDirectory != "" {
		found, err := plugin.List(s.config.PluginDirectory)
		if err != nil {
			return nil, err
		}
		for _, one := range found {
			types[one] = true
		}
	}
	for one := range s.config.Plugins {
		types[one] = true
	}
	if one := s.config.Storage.Type; one != "" {
		types[one] = true
	}
	if len(types) == 0 {
		return nil, fmt.Errorf("%s holds no storage plugins: their names begin with holdfast-storage-", s.config.PluginDirectory)
	}
	var specs []plugin.Spec
	for _, one := range slices.Sorted(maps.Keys(types)) {
		specs = append(specs, pluginspec.Of(s.config, one))
	}
	return specs, nil
}
