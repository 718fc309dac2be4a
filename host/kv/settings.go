package kv

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/holdfast/holdfast/sdk/storage"
)

// Settings govern the versions of a path: of one path, or of a whole mount where the
// path says nothing.
type Settings struct {
	MaxVersions        int           `json:"max_versions,omitempty"`         // kept; 0: what the mount says, or 10
	CASRequired        bool          `json:"cas_required,omitempty"`         // mount or path: refuse writes without check-and-set
	DeleteVersionAfter time.Duration `json:"delete_version_after,omitempty"` // versions delete themselves; 0: they do not
}

// SettingsChange alters the settings that are not nil.
type SettingsChange struct {
	MaxVersions        *int
	CASRequired        *bool
	DeleteVersionAfter *time.Duration
}

// check says what no Settings can be.
func (c SettingsChange) check() error {
	if n := c.MaxVersions; n != nil && (*n < 0 || *n > maxMaxVersions) {
		return fmt.Errorf("%w: max_versions is %d, want 0 to %d", ErrInvalid, *n, maxMaxVersions)
	}
	if d := c.DeleteVersionAfter; d != nil && *d < 0 {
		return fmt.Errorf("%w: delete_version_after is negative", ErrInvalid)
	}
	return nil
}

func (c SettingsChange) apply(s *Settings) {
	if c.MaxVersions != nil {
		s.MaxVersions = *c.MaxVersions
	}
	if c.CASRequired != nil {
		s.CASRequired = *c.CASRequired
	}
	if c.DeleteVersionAfter != nil {
		s.DeleteVersionAfter = *c.DeleteVersionAfter
	}
}

// under returns the settings in force for a path with settings s in a mount with
// settings m: the path's own number of versions, the stricter of the others.
func (s Settings) under(m Settings) Settings {
	effective := Settings{
		MaxVersions:        s.MaxVersions,
		CASRequired:        s.CASRequired || m.CASRequired,
		DeleteVersionAfter: s.DeleteVersionAfter,
	}
	if effective.MaxVersions == 0 {
		effective.MaxVersions = m.MaxVersions
	}
	if effective.MaxVersions == 0 {
		effective.MaxVersions = defaultMaxVersions
	}
	if d := m.DeleteVersionAfter; d > 0 && (effective.DeleteVersionAfter == 0 || d < effective.DeleteVersionAfter) {
		effective.DeleteVersionAfter = d
	}
	return effective
}

// mountSettings is the stored form of a mount's Settings.
type mountSettings struct {
	Format int `json:"format"`
	Settings
}

func decodeMountSettings(raw []byte, err error) (Settings, error) {
	if errors.Is(err, storage.ErrNotFound) {
		return Settings{}, nil
	}
	if err != nil {
		return Settings{}, err
	}
	var s mountSettings
	if err := json.Unmarshal(raw, &s); err != nil {
		return Settings{}, fmt.Errorf("decode kv config: %w", err)
	}
	if s.Format != recordFormat {
		return Settings{}, fmt.Errorf("decode kv config: format %d, this version reads %d", s.Format, recordFormat)
	}
	return s.Settings, nil
}

// MetadataChange alters the metadata of a path.
type MetadataChange struct {
	SettingsChange
	// Custom sets keys of the custom metadata, or removes them where the value is nil.
	Custom map[string]*string
	// ReplaceCustom removes all other keys first.
	ReplaceCustom bool
}

func (c MetadataChange) apply(r *record) error {
	c.SettingsChange.apply(&r.Settings)
	custom := maps.Clone(r.Custom)
	if custom == nil || c.ReplaceCustom {
		custom = map[string]string{}
	}
	for key, text := range c.Custom {
		if text == nil {
			delete(custom, key)
			continue
		}
		if key == "" || len(key) > maxCustomKeyBytes || len(*text) > maxCustomValueBytes {
			return fmt.Errorf("%w: custom_metadata: keys have 1 to %d bytes, values up to %d",
				ErrInvalid, maxCustomKeyBytes, maxCustomValueBytes)
		}
		custom[key] = *text
	}
	if len(custom) > maxCustomKeys {
		return fmt.Errorf("%w: custom_metadata has %d keys, the most is %d", ErrInvalid, len(custom), maxCustomKeys)
	}
	r.Custom = custom
	return nil
}
