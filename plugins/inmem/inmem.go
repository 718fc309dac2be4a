// Package inmem stores in the memory of the plugin process: for development and
// tests. What it stores is gone with the process. Backends opened in one process under one
// name share their data, so several servers attached to it form a cluster.
package inmem

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/holdfast/holdfast/sdk"
	"github.com/holdfast/holdfast/sdk/storage"
)

// Limits of the store, large enough for any test of the host.
const (
	defaultValueBytes = 1 << 20
	maxOps            = 128
	maxBatchBytes     = 2 << 20 // also the largest max_value_size
	faultsPer         = 1000    // what fault_rate counts
)

// Config is the stanza storage "inmem".
type Config struct {
	Name         string        `config:"name" desc:"servers whose plugin is one process share the data of one name"`
	Latency      time.Duration `config:"latency" desc:"time that every call takes longer, to imitate a store across a network"`
	MaxValueSize int           `config:"max_value_size" desc:"largest value in bytes, 16384 to 2097152"`
	FaultRate    int           `config:"fault_rate" desc:"of 1,000 calls, how many fail, to test what relies on the store"`
	FaultKinds   []string      `config:"fault_kinds" desc:"how calls fail: refused (nothing happened, and the error says so), before (nothing happened), after (it happened, the answer is lost)"`
	FaultSeed    uint64        `config:"fault_seed" desc:"number that decides which calls fail"`
}

// Validate reports every option that is out of range.
func (c Config) Validate() error {
	var errs []error
	if c.Name == "" {
		errs = append(errs, errors.New(`option "name" is empty`))
	}
	if c.Latency < 0 {
		errs = append(errs, fmt.Errorf(`option "latency" is %v, want no less than 0`, c.Latency))
	}
	if c.MaxValueSize < storage.MinValueBytes || c.MaxValueSize > maxBatchBytes {
		errs = append(errs, fmt.Errorf(`option "max_value_size" is %d, want %d to %d`, c.MaxValueSize, storage.MinValueBytes, maxBatchBytes))
	}
	if c.FaultRate < 0 || c.FaultRate > faultsPer {
		errs = append(errs, fmt.Errorf(`option "fault_rate" is %d, want 0 to %d`, c.FaultRate, faultsPer))
	}
	if len(c.FaultKinds) == 0 {
		errs = append(errs, errors.New(`option "fault_kinds" is empty`))
	}
	for _, kind := range c.FaultKinds {
		if kind != faultRefused && kind != faultBefore && kind != faultAfter {
			errs = append(errs, fmt.Errorf(`option "fault_kinds" has %q, want %s, %s or %s`, kind, faultRefused, faultBefore, faultAfter))
		}
	}
	return errors.Join(errs...)
}

// New returns the plugin with no data in it.
func New() sdk.Plugin[Config, *Backend] {
	shared := &stores{byName: make(map[string]*store)}
	return sdk.Plugin[Config, *Backend]{
		Name:    "inmem",
		Version: "1.0.0",
		Defaults: Config{
			Name: "default", MaxValueSize: defaultValueBytes,
			FaultKinds: []string{faultRefused, faultBefore, faultAfter}, FaultSeed: 1,
		},
		Open: func(_ context.Context, c Config, _ sdk.Env) (*Backend, storage.Capabilities, error) {
			return &Backend{store: shared.named(c.Name), faults: newFaults(c)}, storage.Capabilities{Limits: storage.Limits{
				MaxKeyBytes:   storage.MaxKeyBytes,
				MaxValueBytes: c.MaxValueSize,
				MaxOps:        maxOps,
				MaxBatchBytes: maxBatchBytes,
			}}, nil
		},
	}
}

// stores are the stores of one process.
type stores struct {
	mu     sync.Mutex // guards byName
	byName map[string]*store
}

func (s *stores) named(name string) *store {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.byName[name] == nil {
		s.byName[name] = newStore()
	}
	return s.byName[name]
}
