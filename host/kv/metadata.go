package kv

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/holdfast/holdfast/host/store"
	"github.com/holdfast/holdfast/sdk/storage"
)

// Metadata is all that is known of a path but its data.
type Metadata struct {
	Settings
	Created, Updated time.Time
	Custom           map[string]string
	Current          int // newest version; 0: nothing was written yet
	Oldest           int // oldest version that is kept; 0: none was given up yet
	Versions         []Version
}

// Metadata returns the metadata of path, or ErrNotFound.
func (v V2) Metadata(ctx context.Context, path string) (Metadata, error) {
	k, err := v.keys(path)
	if err != nil {
		return Metadata{}, err
	}
	raw, err := v.store.Get(ctx, k.meta)
	if errors.Is(err, storage.ErrNotFound) {
		return Metadata{}, ErrNotFound
	}
	if err != nil {
		return Metadata{}, err
	}
	r, err := decodeRecord(raw)
	if err != nil {
		return Metadata{}, err
	}
	m := Metadata{
		Settings: r.Settings, Created: r.Created, Updated: r.Updated, Custom: r.Custom, Current: r.current(),
	}
	if r.Oldest > 1 {
		m.Oldest = r.Oldest
	}
	for i := range r.Versions {
		m.Versions = append(m.Versions, r.version(r.Oldest+i, &r.Versions[i]))
	}
	return m, nil
}

// SetMetadata changes the metadata of path. A path that does not exist comes into
// being without a version if create is set; otherwise ErrNotFound.
func (v V2) SetMetadata(ctx context.Context, path string, create bool, change MetadataChange) error {
	if err := change.check(); err != nil {
		return err
	}
	return v.edit(ctx, path, func(e *edit) error {
		now := v.now().UTC()
		if e.record == nil {
			if !create {
				return ErrNotFound
			}
			e.record = newRecord(now)
		}
		e.record.Updated = now
		e.save = true
		return change.apply(e.record)
	})
}

// List returns the names below path, in byte order; directories end in "/". A name
// whose versions are all deleted is listed, a purged one is not.
func (v V2) List(ctx context.Context, path string) ([]string, error) {
	return list(ctx, v.store, v.dir+"meta/", path)
}

// Config returns the settings of the mount.
func (v V2) Config(ctx context.Context) (Settings, error) {
	return decodeMountSettings(v.store.Get(ctx, v.dir+"config"))
}

// SetConfig changes the settings of the mount.
func (v V2) SetConfig(ctx context.Context, change SettingsChange) error {
	if err := change.check(); err != nil {
		return err
	}
	key := v.dir + "config"
	return v.store.Update(ctx, []string{key}, func(tx store.Tx) error {
		settings, err := decodeMountSettings(tx.Get(key))
		if err != nil {
			return err
		}
		change.apply(&settings)
		raw, err := encodeJSON(mountSettings{Format: recordFormat, Settings: settings})
		if err != nil {
			return fmt.Errorf("encode kv config: %w", err)
		}
		tx.Put(key, raw)
		return nil
	})
}
