package sdk

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"sync"
	"time"

	"github.com/holdfast/holdfast/sdk/storage"
)

// memory is a backend for the tests of this package.
type memory struct {
	mu     sync.Mutex // guards values
	values map[string][]byte
	config memoryConfig
}

type memoryConfig struct {
	Address string `config:"address" desc:"where | it is" required:"true"`
	Token   string `config:"token" desc:"access token" secret:"true"`
	Closed  string `config:"closed" desc:"file that is made on close"`
	Hang    bool   `config:"hang" desc:"close never returns"`
	Record  string `config:"record" desc:"file with the one record that is guarded"`
}

func (m *memory) Get(_ context.Context, key string) (storage.Item, error) {
	if m.config.Record != "" {
		r, err := readRecord(m.config.Record)
		return storage.Item{Value: r.Value, Version: r.Version}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	value, ok := m.values[key]
	if !ok {
		return storage.Item{}, storage.ErrNotFound
	}
	return storage.Item{Value: value, Version: "1"}, nil
}

func (m *memory) List(context.Context, string, string, int) ([]string, error) { return nil, nil }

func (m *memory) Write(_ context.Context, ops []storage.Op) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, op := range ops {
		if op.Key == "print" { // what careless authors do
			fmt.Println("printed by the plugin")
			log.Print("logged by the plugin")
		}
		m.values[op.Key] = op.Value
	}
	return nil
}

func (m *memory) Close() error {
	if m.config.Hang {
		select {}
	}
	if m.config.Closed == "" {
		return nil
	}
	return os.WriteFile(m.config.Closed, nil, 0o600)
}

// haMemory is a memory that claims the HABackend capability.
type haMemory struct{ *memory }

func (m haMemory) Commit(_ context.Context, g storage.Guard, _ []storage.Op) (storage.Version, error) {
	if m.config.Record != "" {
		return commitFile(m.config.Record, g)
	}
	return "2", nil
}

func (haMemory) Watch(ctx context.Context, _ string, _ storage.Version) (storage.Item, error) {
	<-ctx.Done()
	return storage.Item{}, ctx.Err()
}

var memoryLimits = storage.Capabilities{Limits: storage.Limits{
	MaxKeyBytes: storage.MaxKeyBytes, MaxValueBytes: 1 << 20, MaxOps: 64, MaxBatchBytes: 1 << 20,
}}

func openMemory(_ context.Context, c memoryConfig, env Env) (*memory, storage.Capabilities, error) {
	if c.Address == "unreachable" {
		return nil, storage.Capabilities{}, errors.New("connection refused")
	}
	env.Logger.Info("opened", "at", time.Duration(0))
	return &memory{values: map[string][]byte{}, config: c}, memoryLimits, nil
}

func memoryPlugin() Plugin[memoryConfig, *memory] {
	return Plugin[memoryConfig, *memory]{Name: "memory", Version: "1.2.3", Open: openMemory}
}

func haMemoryPlugin() Plugin[memoryConfig, haMemory] {
	return Plugin[memoryConfig, haMemory]{
		Name: "memory", Version: "1.2.3", Defaults: memoryConfig{Address: "here"},
		Open: func(ctx context.Context, c memoryConfig, env Env) (haMemory, storage.Capabilities, error) {
			m, capabilities, err := openMemory(ctx, c, env)
			return haMemory{m}, capabilities, err
		},
	}
}
