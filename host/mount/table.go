// Package mount is the mount table: which path belongs to which data. It is one
// record in the store, changed only under its lock.
//
// No mount is inside another. A mount's data lives under its random id, so a path
// can be used again at once after its mount was removed, while the old data is
// still being deleted.
package mount

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/google/uuid"
	"github.com/hashicorp/go-hclog"

	"github.com/holdfast/holdfast/host/store"
	"github.com/holdfast/holdfast/sdk/storage"
)

// Key is where the table is stored.
const Key = "hf/mounts"

// The errors of a change that callers tell apart. Nothing was changed.
var (
	ErrInvalid  = errors.New("invalid mount")
	ErrConflict = errors.New("path is already in use")
	ErrNotFound = errors.New("no such mount")
)

// Store is what the table needs of the store. See host/store.
type Store interface {
	// Get returns the plaintext at key, or storage.ErrNotFound.
	Get(ctx context.Context, key string) ([]byte, error)
	// List returns the names directly below prefix.
	List(ctx context.Context, prefix string) ([]string, error)
	// Update runs fn with the names in lock held and commits its writes in one batch.
	Update(ctx context.Context, lock []string, fn func(store.Tx) error) error
}

// Table is the mount table. It is safe for concurrent use.
//
// It keeps nothing that could be stale: every call reads the record through the
// store, whose cache and confirmation cover it like any secret, and only decodes it
// when its bytes have changed.
type Table struct {
	store  Store
	logger hclog.Logger

	decoded atomic.Pointer[decodedRecord] // of the bytes read last
	removed chan struct{}                 // holds one signal: there may be data to remove

	mu   sync.Mutex      // guards what follows
	uses map[string]*use // by mount id: the requests that work on it
}

type decodedRecord struct {
	raw    []byte
	record *record
}

// use counts the requests in one mount.
type use struct {
	count int
	done  chan struct{} // closed when count has gone back to 0
}

// NewTable returns the table in s.
func NewTable(s Store, logger hclog.Logger) *Table {
	return &Table{store: s, logger: logger, removed: make(chan struct{}, 1), uses: map[string]*use{}}
}

// Load reads the table once. A node calls it when it becomes active, so that an
// unreadable table shows then and not at the first request. A cluster that has no
// table yet has no mounts.
func (t *Table) Load(ctx context.Context) error {
	_, err := t.read(ctx)
	return err
}

// List returns all mounts in the order of their paths.
func (t *Table) List(ctx context.Context) ([]Entry, error) {
	r, err := t.read(ctx)
	if err != nil {
		return nil, err
	}
	return slices.Clone(r.Mounts), nil
}

// Lookup returns the mount that path (below /v1/) is in, or ErrNotFound. The mount's
// own path matches with or without its last slash.
func (t *Table) Lookup(ctx context.Context, path string) (Entry, error) {
	r, err := t.read(ctx)
	if err != nil {
		return Entry{}, err
	}
	e, ok := r.match(strings.TrimSuffix(path, "/") + "/")
	if !ok {
		return Entry{}, ErrNotFound
	}
	return e, nil
}

// Acquire is Lookup for a request that works on the mount's data. Until release is
// called that data is not removed, so that a write can not come after the removal
// and stay behind. release may be called once, and must be.
func (t *Table) Acquire(ctx context.Context, path string) (e Entry, release func(), err error) {
	e, err = t.Lookup(ctx, path)
	if err != nil {
		return Entry{}, nil, err
	}
	release = t.use(e.ID)
	// Only a mount that is there after it was marked as used is safe from removal.
	again, err := t.Lookup(ctx, path)
	if err == nil && again.ID != e.ID {
		err = ErrNotFound
	}
	if err != nil {
		release()
		return Entry{}, nil, err
	}
	return again, release, nil
}

// Enable adds a mount and returns it with its id. Path, Type, Description, Options,
// Config, Local and SealWrap are e's. ErrInvalid, ErrConflict, or an error of the store.
func (t *Table) Enable(ctx context.Context, e Entry) (Entry, error) {
	if err := e.normalize(); err != nil {
		return Entry{}, err
	}
	e.ID = randomHex(16)
	e.Accessor = e.Type + "_" + randomHex(4)
	e.UUID = uuid.NewString()
	err := t.change(ctx, func(r *record) error {
		for _, other := range r.Mounts {
			if strings.HasPrefix(other.Path, e.Path) || strings.HasPrefix(e.Path, other.Path) {
				return fmt.Errorf("%w at %s", ErrConflict, other.Path)
			}
		}
		i, _ := r.find(e.Path)
		r.Mounts = slices.Insert(r.Mounts, i, e)
		return nil
	})
	if err != nil {
		return Entry{}, fmt.Errorf("enable mount: %w", err)
	}
	return e, nil
}

// Tune lets change alter the description, options and config of the mount at path;
// other fields it changes are ignored. The version can not be changed.
func (t *Table) Tune(ctx context.Context, path string, change func(*Entry)) error {
	path, err := CleanPath(path)
	if err != nil {
		return err
	}
	err = t.change(ctx, func(r *record) error {
		i, ok := r.find(path)
		if !ok {
			return fmt.Errorf("%w at %s", ErrNotFound, path)
		}
		tuned := r.Mounts[i]
		change(&tuned)
		if tuned.Versioned() != r.Mounts[i].Versioned() {
			return fmt.Errorf("%w: the version of a kv mount can not be changed", ErrInvalid)
		}
		if err := tuned.validate(); err != nil {
			return err
		}
		e := &r.Mounts[i]
		e.Description, e.Options, e.Config = tuned.Description, tuned.Options, tuned.Config
		return nil
	})
	if err != nil {
		return fmt.Errorf("tune mount: %w", err)
	}
	return nil
}

// Disable removes the mount at path. When it returns nil the mount is gone for good
// and its data can not be reached; Run deletes that data. ErrNotFound, or an
// error of the store.
func (t *Table) Disable(ctx context.Context, path string) error {
	path, err := CleanPath(path)
	if err != nil {
		return err
	}
	err = t.change(ctx, func(r *record) error {
		i, ok := r.find(path)
		if !ok {
			return fmt.Errorf("%w at %s", ErrNotFound, path)
		}
		r.Removing = append(r.Removing, r.Mounts[i].ID)
		r.Mounts = slices.Delete(r.Mounts, i, i+1)
		return nil
	})
	// Also after an error: the outcome may be unknown, and looking costs one read.
	select {
	case t.removed <- struct{}{}:
	default: // a signal is waiting already
	}
	if err != nil {
		return fmt.Errorf("disable mount: %w", err)
	}
	return nil
}

// read returns the table as it is in the store. The record is shared: read only.
func (t *Table) read(ctx context.Context) (*record, error) {
	raw, err := t.store.Get(ctx, Key)
	if errors.Is(err, storage.ErrNotFound) {
		return &record{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read mount table: %w", err)
	}
	if d := t.decoded.Load(); d != nil && bytes.Equal(d.raw, raw) {
		return d.record, nil
	}
	r, err := decode(raw)
	if err != nil {
		return nil, err
	}
	t.decoded.Store(&decodedRecord{raw: raw, record: r})
	return r, nil
}

// change applies fn to the table, alone.
func (t *Table) change(ctx context.Context, fn func(*record) error) error {
	err := t.store.Update(ctx, []string{Key}, func(tx store.Tx) error {
		r := &record{}
		raw, err := tx.Get(Key)
		if err == nil {
			r, err = decode(raw)
		} else if errors.Is(err, storage.ErrNotFound) {
			err = nil
		}
		if err != nil {
			return err
		}
		if err := fn(r); err != nil {
			return err
		}
		if raw, err = r.encode(); err != nil {
			return err
		}
		tx.Put(Key, raw)
		return nil
	})
	if errors.Is(err, storage.ErrTooLarge) {
		return fmt.Errorf("the mount table is full; remove mounts or shorten descriptions: %w", err)
	}
	return err
}

func randomHex(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails: crypto/rand ends the program instead
	return hex.EncodeToString(b)
}
