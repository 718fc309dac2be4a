// Command nohastore is a storage plugin without high availability, for tests of the host:
// its Backend has Get, List, Write and Close and no more. It keeps everything in one file
// that several processes may share, as several servers do that are pointed at one
// store by mistake.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/sdk"
	"github.com/holdfast/holdfast/sdk/storage"
)

func main() { sdk.Main(plugin()) }

// Config is the stanza storage "nohastore".
type Config struct {
	File string `config:"file" desc:"where everything is kept; made if it is not there" required:"true"`
}

func plugin() sdk.Plugin[Config, *Backend] {
	return sdk.Plugin[Config, *Backend]{
		Name:    "nohastore",
		Version: "1.0.0",
		Open: func(_ context.Context, c Config, _ sdk.Env) (*Backend, storage.Capabilities, error) {
			return &Backend{path: c.File}, storage.Capabilities{Limits: storage.Limits{
				MaxKeyBytes:   storage.MaxKeyBytes,
				MaxValueBytes: 1 << 20,
				MaxOps:        128,
				MaxBatchBytes: 2 << 20,
			}}, nil
		},
	}
}

// Backend keeps a JSON object of all keys in one file. Every call opens the file and
// locks it, so it is safe for concurrent use, also by several processes.
type Backend struct{ path string }

// Get implements storage.Backend.
func (b *Backend) Get(ctx context.Context, key string) (storage.Item, error) {
	items, err := b.read(ctx)
	if err != nil {
		return storage.Item{}, err
	}
	value, ok := items[key]
	if !ok {
		return storage.Item{}, storage.ErrNotFound
	}
	return storage.Item{Value: value}, nil
}

// List implements storage.Backend.
func (b *Backend) List(ctx context.Context, prefix, after string, limit int) ([]string, error) {
	items, err := b.read(ctx)
	if err != nil {
		return nil, err
	}
	return storage.OneLevel(maps.Keys(items), prefix, after, limit), nil
}

// Write implements storage.Backend.
func (b *Backend) Write(ctx context.Context, ops []storage.Op) error {
	file, err := b.open(ctx, unix.LOCK_EX)
	if err != nil {
		return storage.NotApplied(err)
	}
	defer file.Close() // and with it the lock
	items, err := load(file)
	if err != nil {
		return storage.NotApplied(err)
	}
	for _, op := range ops {
		switch op.Kind {
		case storage.OpPut:
			items[op.Key] = op.Value
		case storage.OpDelete:
			delete(items, op.Key)
		}
	}
	text, err := json.Marshal(items)
	if err != nil {
		return storage.NotApplied(err)
	}
	// Not safe from a power failure, as a store for more than tests would be.
	if _, err := file.WriteAt(text, 0); err != nil {
		return err
	}
	return file.Truncate(int64(len(text)))
}

// Close implements storage.Backend.
func (b *Backend) Close() error { return nil }

func (b *Backend) read(ctx context.Context) (map[string][]byte, error) {
	file, err := b.open(ctx, unix.LOCK_SH)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return load(file)
}

// open opens the file and locks it until it is closed.
func (b *Backend) open(ctx context.Context, lock int) (*os.File, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(b.path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", storage.ErrUnavailable, err)
	}
	for err = unix.EINTR; errors.Is(err, unix.EINTR); {
		err = unix.Flock(int(file.Fd()), lock)
	}
	if err != nil {
		_ = file.Close() // nothing was written
		return nil, fmt.Errorf("%w: lock %s: %w", storage.ErrUnavailable, b.path, err)
	}
	return file, nil
}

// load returns what a locked file holds; an empty one holds nothing.
func load(file *os.File) (map[string][]byte, error) {
	items := map[string][]byte{}
	text, err := io.ReadAll(file)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", storage.ErrUnavailable, err)
	}
	if len(text) == 0 {
		return items, nil
	}
	if err := json.Unmarshal(text, &items); err != nil {
		return nil, fmt.Errorf("%s does not hold what this plugin writes: %w", file.Name(), err)
	}
	return items, nil
}
