// Command holdfast-storage-skeleton is the storage plugin "skeleton" of Holdfast.
package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/holdfast/holdfast/sdk"
	"github.com/holdfast/holdfast/sdk/storage"
)

// Config is the stanza storage "skeleton" of the server's configuration.
type Config struct {
	Path string `config:"path" desc:"absolute path of the file that holds the data; its directory must exist" required:"true"`
}

// Validate reports what the tags of Config can not say.
func (c Config) Validate() error {
	if c.Path != "" && !filepath.IsAbs(c.Path) {
		return fmt.Errorf(`option "path" is %q, want an absolute path`, c.Path)
	}
	return nil
}

func main() { sdk.Main(plugin()) }

// plugin ties Config and Backend together.
func plugin() sdk.Plugin[Config, *Backend] {
	return sdk.Plugin[Config, *Backend]{
		Name:    "skeleton",
		Version: "0.1.0",
		Open:    open,
	}
}

// limits are promises: the server keeps within them, and the suite tries requests of just
// these sizes. Every change writes the whole file, so they are small.
func limits() storage.Limits {
	return storage.Limits{
		MaxKeyBytes:   storage.MaxKeyBytes,
		MaxValueBytes: 512 << 10,
		MaxOps:        64,
		MaxBatchBytes: 1 << 20,
	}
}

// open opens the file. ctx bounds open only; what lives longer is ended by Close.
func open(_ context.Context, c Config, env sdk.Env) (*Backend, storage.Capabilities, error) {
	f, err := openFile(c.Path)
	if err != nil {
		return nil, storage.Capabilities{}, err
	}
	if _, err := f.read(); err != nil { // a damaged file is reported at the start
		return nil, storage.Capabilities{}, errors.Join(err, f.close())
	}
	env.Logger.Info("opened the data file", "path", c.Path)
	return &Backend{file: f}, storage.Capabilities{Limits: limits()}, nil
}
