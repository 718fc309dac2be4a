package mount

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/holdfast/holdfast/sdk/storage"
)

// TypeKV is the type of a key/value mount, the only one there is.
const TypeKV = "kv"

// Sizes of what a client may put in the table, which is one record.
const (
	maxPathBytes        = 256
	maxDescriptionBytes = 1024
)

// Entry is one mount. Entries are values: changing one changes nothing else.
type Entry struct {
	Path        string            `json:"path"` // ends in "/"
	ID          string            `json:"id"`   // names its data; never used for another mount
	Type        string            `json:"type"`
	Description string            `json:"description,omitempty"`
	Accessor    string            `json:"accessor"`
	UUID        string            `json:"uuid"`
	Options     map[string]string `json:"options,omitempty"` // "version": "1" or "2"
	Config      Config            `json:"config"`
	Local       bool              `json:"local,omitempty"`
	SealWrap    bool              `json:"seal_wrap,omitempty"`
}

// Config is what can be tuned. A TTL of 0 means the system's default.
type Config struct {
	DefaultLeaseTTL time.Duration `json:"default_lease_ttl,omitempty"`
	MaxLeaseTTL     time.Duration `json:"max_lease_ttl,omitempty"`
	ForceNoCache    bool          `json:"force_no_cache,omitempty"`
}

// DataDir is the prefix of all data of the mount; it ends in "/".
func (e Entry) DataDir() string { return dataDir(e.ID) }

// Versioned reports whether the mount keeps versions (KV version 2).
func (e Entry) Versioned() bool { return e.Options["version"] == "2" }

func dataDir(id string) string { return "hf/kv/" + id + "/" }

// CleanPath returns path with exactly one slash at its end, or why no mount can be
// there (an error that wraps ErrInvalid).
func CleanPath(path string) (string, error) {
	trimmed := strings.TrimSuffix(path, "/")
	if err := storage.ValidateKey(trimmed); err != nil {
		return "", fmt.Errorf("%w: path: %w", ErrInvalid, err)
	}
	if len(trimmed) > maxPathBytes {
		return "", fmt.Errorf("%w: path is %d bytes long, the most is %d", ErrInvalid, len(trimmed), maxPathBytes)
	}
	if strings.ContainsFunc(trimmed, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return "", fmt.Errorf("%w: path has a character that can not be printed", ErrInvalid)
	}
	for _, reserved := range []string{"sys/", "auth/", "cubbyhole/", "identity/"} {
		if strings.HasPrefix(trimmed+"/", reserved) {
			return "", fmt.Errorf("%w: path is below %s, which is reserved", ErrInvalid, reserved)
		}
	}
	return trimmed + "/", nil
}

// normalize completes e as a client described it, or says what is wrong with it.
func (e *Entry) normalize() error {
	path, err := CleanPath(e.Path)
	if err != nil {
		return err
	}
	e.Path = path
	e.Options = maps.Clone(e.Options)
	if version, ok := strings.CutPrefix(e.Type, TypeKV+"-v"); ok {
		if given, set := e.Options["version"]; set && given != version {
			return fmt.Errorf("%w: type %q contradicts options.version %q", ErrInvalid, e.Type, given)
		}
		e.Type, e.Options = TypeKV, map[string]string{"version": version}
	}
	if e.Type != TypeKV {
		return fmt.Errorf("%w: mount type %q is not supported; there is kv, version 1 or 2", ErrInvalid, e.Type)
	}
	return e.validate()
}

// validate checks what a change of an existing entry can break too.
func (e *Entry) validate() error {
	for name, value := range e.Options {
		if name != "version" || (value != "1" && value != "2") {
			return fmt.Errorf("%w: option %q: only version is known, and it is \"1\" or \"2\"", ErrInvalid, name)
		}
	}
	if len(e.Description) > maxDescriptionBytes {
		return fmt.Errorf("%w: description is %d bytes long, the most is %d",
			ErrInvalid, len(e.Description), maxDescriptionBytes)
	}
	if c := e.Config; c.DefaultLeaseTTL < 0 || c.MaxLeaseTTL < 0 {
		return fmt.Errorf("%w: a lease TTL is negative", ErrInvalid)
	}
	if c := e.Config; c.MaxLeaseTTL > 0 && c.DefaultLeaseTTL > c.MaxLeaseTTL {
		return fmt.Errorf("%w: default_lease_ttl is longer than max_lease_ttl", ErrInvalid)
	}
	return nil
}

const recordFormat = 1

// record is the stored table.
type record struct {
	Format   int      `json:"format"`
	Mounts   []Entry  `json:"mounts"`   // by path, ascending
	Removing []string `json:"removing"` // ids of removed mounts whose data may still be there
}

func decode(raw []byte) (*record, error) {
	var version struct {
		Format int `json:"format"`
	}
	if err := json.Unmarshal(raw, &version); err != nil {
		return nil, fmt.Errorf("decode %s: %w", Key, err)
	}
	if version.Format != recordFormat {
		return nil, fmt.Errorf("decode %s: format %d, this version reads %d", Key, version.Format, recordFormat)
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	var r record
	if err := dec.Decode(&r); err != nil {
		return nil, fmt.Errorf("decode %s: %w", Key, err)
	}
	for i, e := range r.Mounts {
		if e.ID == "" || e.Type != TypeKV || !strings.HasSuffix(e.Path, "/") || i > 0 && r.Mounts[i-1].Path >= e.Path {
			return nil, fmt.Errorf("decode %s: entry %d is malformed", Key, i)
		}
	}
	if slices.Contains(r.Removing, "") {
		return nil, errors.New("decode " + Key + ": an id to remove is empty")
	}
	return &r, nil
}

func (r *record) encode() ([]byte, error) {
	r.Format = recordFormat
	raw, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", Key, err)
	}
	return raw, nil
}

// find returns where the mount at path is, or would be.
func (r *record) find(path string) (int, bool) {
	return slices.BinarySearchFunc(r.Mounts, path, func(e Entry, path string) int { return strings.Compare(e.Path, path) })
}

// match returns the mount that path is in. No mount is inside another, so there
// is at most one, and it is the last one that does not sort after path.
func (r *record) match(path string) (Entry, bool) {
	i, ok := r.find(path)
	if ok {
		return r.Mounts[i], true
	}
	if i == 0 || !strings.HasPrefix(path, r.Mounts[i-1].Path) {
		return Entry{}, false
	}
	return r.Mounts[i-1], true
}
