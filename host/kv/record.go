package kv

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"time"
)

// Limits of a version 2 path.
const (
	defaultMaxVersions = 10
	maxMaxVersions     = 1000

	maxCustomKeys       = 64
	maxCustomKeyBytes   = 128
	maxCustomValueBytes = 512
)

const recordFormat = 1

// versionRoom is how many bytes the data key of a version adds to the path: a slash
// and the longest version number.
const versionRoom = 11

// A version's data and the path's metadata change in one batch of at most
// storage.MinOps: the metadata, the new data, and the deletions of old data.
const (
	sweepPerWrite   = 8  // old versions whose data a write deletes
	deletesPerBatch = 15 // all that fit beside the metadata
)

// record is the metadata of one path as it is stored. Versions are numbered from 1
// without gaps, so the list needs no numbers.
type record struct {
	Format int `json:"format"`
	// ID is new each time the path comes into being. Each version's data repeats it, so
	// that data is never taken for that of an earlier path of the same name.
	ID       string            `json:"id"`
	Created  time.Time         `json:"created"`
	Updated  time.Time         `json:"updated"`
	Settings Settings          `json:"settings"`
	Custom   map[string]string `json:"custom,omitempty"`

	First    int        `json:"first"`    // lowest version whose data may still be in the store
	Oldest   int        `json:"oldest"`   // number of Versions[0]
	Versions []revision `json:"versions"` // the versions that can be read, oldest first
}

// revision is one version.
type revision struct {
	Created   time.Time `json:"c"`
	Deletion  time.Time `json:"d,omitzero"` // deleted from then on; may lie in the future
	Destroyed bool      `json:"x,omitempty"`
}

// value is the data of one version as it is stored.
type value struct {
	ID   string          `json:"id"` // of the record it belongs to
	Data json.RawMessage `json:"data"`
}

func newRecord(now time.Time) *record {
	id := make([]byte, 8)
	_, _ = rand.Read(id) // never fails: crypto/rand ends the program instead
	return &record{ID: hex.EncodeToString(id), Created: now, Updated: now, First: 1, Oldest: 1}
}

func decodeRecord(raw []byte) (*record, error) {
	var r record
	if err := json.Unmarshal(raw, &r); err != nil {
		return nil, fmt.Errorf("decode kv metadata: %w", err)
	}
	if r.Format != recordFormat {
		return nil, fmt.Errorf("decode kv metadata: format %d, this version reads %d", r.Format, recordFormat)
	}
	if r.First < 1 || r.Oldest < r.First {
		return nil, fmt.Errorf("decode kv metadata: first version %d, oldest %d", r.First, r.Oldest)
	}
	return &r, nil
}

func (r *record) encode() ([]byte, error) {
	r.Format = recordFormat
	raw, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("encode kv metadata: %w", err)
	}
	return raw, nil
}

// current returns the newest version, 0 if there never was one.
func (r *record) current() int { return r.Oldest + len(r.Versions) - 1 }

// find returns version number n, or nil if there is none (any more).
func (r *record) find(n int) *revision {
	if i := n - r.Oldest; i >= 0 && i < len(r.Versions) {
		return &r.Versions[i]
	}
	return nil
}

// live reports whether the data can be read at now.
func (v *revision) live(now time.Time) bool {
	return !v.Destroyed && (v.Deletion.IsZero() || v.Deletion.After(now))
}

// add appends a version and returns its number. The data of versions that max no
// longer allows becomes unreadable at once and is deleted by sweep.
func (r *record) add(v revision, limit int) int {
	r.Versions = append(r.Versions, v)
	r.Updated = v.Created
	r.forget(len(r.Versions) - limit)
	return r.current()
}

// forget drops the n oldest versions, or all.
func (r *record) forget(n int) {
	if n = min(n, len(r.Versions)); n > 0 {
		r.Versions = r.Versions[n:]
		r.Oldest += n
	}
}

// sweep deletes the data of at most limit forgotten versions.
func (e *edit) sweep(limit int) {
	r := e.record
	for range min(limit, r.Oldest-r.First) {
		e.tx.Delete(versionKey(e.data, r.First))
		r.First++
	}
}

func versionKey(dataKey string, n int) string { return dataKey + "/" + strconv.Itoa(n) }
