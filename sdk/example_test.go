package sdk_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/holdfast/holdfast/sdk"
	"github.com/holdfast/holdfast/sdk/storage"
)

// Config is the stanza storage "readonly".
type Config struct {
	Directory string `config:"directory" desc:"where the values are, one file per key" required:"true"`
}

// Backend serves a directory that something else fills.
type Backend struct{ root *os.Root }

// Get implements storage.Backend.
func (b *Backend) Get(_ context.Context, key string) (storage.Item, error) {
	value, err := b.root.ReadFile(filepath.FromSlash(key))
	if errors.Is(err, fs.ErrNotExist) {
		return storage.Item{}, storage.ErrNotFound
	}
	return storage.Item{Value: value}, err
}

// List implements storage.Backend.
func (b *Backend) List(context.Context, string, string, int) ([]string, error) {
	return nil, storage.ErrUnsupported
}

// Write implements storage.Backend.
func (b *Backend) Write(context.Context, []storage.Op) error { return storage.ErrUnsupported }

// Close implements storage.Backend.
func (b *Backend) Close() error { return b.root.Close() }

// Plugin ties Config and Backend together.
var Plugin = sdk.Plugin[Config, *Backend]{
	Name:    "readonly",
	Version: "0.1.0",
	Open: func(_ context.Context, c Config, _ sdk.Env) (*Backend, storage.Capabilities, error) {
		root, err := os.OpenRoot(c.Directory)
		return &Backend{root}, storage.Capabilities{Limits: storage.Limits{
			MaxKeyBytes:   storage.MaxKeyBytes,
			MaxValueBytes: 1 << 20,
			MaxOps:        storage.MinOps,
			MaxBatchBytes: 1 << 20,
		}}, err
	},
}

// The whole main function of a plugin.
func ExampleMain() {
	sdk.Main(Plugin)
}
