package kv

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/holdfast/holdfast/sdk/storage"
)

// LeaseSeconds is the lease duration that a version 1 read carries, 32 days: a hint
// for how long to keep the value. Nothing happens when it ends.
const LeaseSeconds = 2764800

// V1 is a version 1 mount. Its writes are blind: the last one wins.
type V1 struct {
	store Store
	data  string // directory of the values
}

// NewV1 returns the version 1 mount whose data is below dir, which ends in "/".
func NewV1(s Store, dir string) V1 { return V1{store: s, data: dir + "data/"} }

// Get returns the JSON object at path, or ErrNotFound.
func (v V1) Get(ctx context.Context, path string) (json.RawMessage, error) {
	key, err := join(v.data, path, 0)
	if err != nil {
		return nil, err
	}
	raw, err := v.store.Get(ctx, key)
	if errors.Is(err, storage.ErrNotFound) {
		return nil, ErrNotFound
	}
	return raw, err
}

// Put sets path to the JSON object data.
func (v V1) Put(ctx context.Context, path string, data json.RawMessage) error {
	key, err := join(v.data, path, 0)
	if err != nil {
		return err
	}
	if err := checkObject(data); err != nil {
		return err
	}
	return v.store.Put(ctx, key, data)
}

// Delete removes path, if it is there.
func (v V1) Delete(ctx context.Context, path string) error {
	key, err := join(v.data, path, 0)
	if err != nil {
		return err
	}
	return v.store.Delete(ctx, key)
}

// List returns the names below path, in byte order; directories end in "/".
func (v V1) List(ctx context.Context, path string) ([]string, error) {
	return list(ctx, v.store, v.data, path)
}
