package kv

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/holdfast/holdfast/host/store"
	"github.com/holdfast/holdfast/sdk/storage"
)

// V2 is a version 2 mount. For each path it keeps a metadata record, which lists the
// versions, and the data of each version. A write holds the path alone from
// reading the metadata until its outcome is known, and changes the metadata and the
// data in one batch; of any number of concurrent check-and-set writes that
// expect the same version one succeeds.
type V2 struct {
	store Store
	dir   string
	now   func() time.Time
}

// NewV2 returns the version 2 mount whose data is below dir, which ends in "/". now
// is read for the times in metadata, and to tell whether a version has deleted itself.
func NewV2(s Store, dir string, now func() time.Time) V2 {
	return V2{store: s, dir: dir, now: now}
}

// Version describes one version of a path.
type Version struct {
	Number    int
	Created   time.Time
	Deletion  time.Time // zero: not deleted; may lie in the future
	Destroyed bool
	Custom    map[string]string // the path's custom metadata
}

// Secret is one version with its data.
type Secret struct {
	Version
	Data json.RawMessage // a JSON object; nil if the version was deleted or destroyed
}

// keys are where a path is stored.
type keys struct {
	meta string
	data string // directory of the versions, without the slash
}

func (v V2) keys(path string) (keys, error) {
	// The two directory names have the same length.
	meta, err := join(v.dir+"meta/", path, versionRoom)
	if err != nil {
		return keys{}, err
	}
	return keys{meta: meta, data: v.dir + "data/" + path}, nil
}

func (r *record) version(n int, rev *revision) Version {
	return Version{
		Number: n, Created: rev.Created, Deletion: rev.Deletion, Destroyed: rev.Destroyed, Custom: r.Custom,
	}
}

// Get returns version n of path, or the newest one if n is 0. A version that was
// deleted or destroyed comes without data; ErrNotFound means that there is no such
// version. The answer is the state of one moment also while others write.
func (v V2) Get(ctx context.Context, path string, n int) (Secret, error) {
	k, err := v.keys(path)
	if err != nil {
		return Secret{}, err
	}
	for ctx.Err() == nil {
		raw, err := v.store.Get(ctx, k.meta)
		if errors.Is(err, storage.ErrNotFound) {
			return Secret{}, ErrNotFound
		}
		if err != nil {
			return Secret{}, err
		}
		secret, err := v.open(ctx, k, raw, n)
		if !errors.Is(err, storage.ErrNotFound) {
			return secret, err
		}
		// The data is gone: destroyed or purged since the metadata was read, or lost.
		again, err := v.store.Get(ctx, k.meta)
		if err == nil && bytes.Equal(again, raw) {
			return Secret{}, errors.New("read kv data: a version that the metadata lists has no data")
		}
	}
	return Secret{}, ctx.Err()
}

// open returns version n according to the metadata in raw. storage.ErrNotFound: the
// metadata promises data that is not there, or not this path's any more.
func (v V2) open(ctx context.Context, k keys, raw []byte, n int) (Secret, error) {
	r, err := decodeRecord(raw)
	if err != nil {
		return Secret{}, err
	}
	if n == 0 {
		n = r.current()
	}
	rev := r.find(n)
	if rev == nil {
		return Secret{}, ErrNotFound
	}
	secret := Secret{Version: r.version(n, rev)}
	if !rev.live(v.now()) {
		return secret, nil
	}
	data, err := v.store.Get(ctx, versionKey(k.data, n))
	if err != nil {
		return Secret{}, err
	}
	secret.Data, err = r.decodeValue(data)
	return secret, err
}

// decodeValue returns the JSON object in raw, or storage.ErrNotFound if it belongs to
// an earlier path of the same name.
func (r *record) decodeValue(raw []byte) (json.RawMessage, error) {
	var stored value
	if err := json.Unmarshal(raw, &stored); err != nil {
		return nil, fmt.Errorf("decode kv data: %w", err)
	}
	if stored.ID != r.ID {
		return nil, storage.ErrNotFound
	}
	return stored.Data, nil
}

// Put adds a version with the JSON object data and returns it. With cas it does so
// only if the newest version is *cas (0: there is none): ErrCASMismatch.
func (v V2) Put(ctx context.Context, path string, data json.RawMessage, cas *int) (Version, error) {
	if err := checkObject(data); err != nil {
		return Version{}, err
	}
	return v.write(ctx, path, cas, func(*edit) (json.RawMessage, error) { return data, nil })
}

// Patch adds a version that is the newest one changed by patch, a JSON merge patch
// (RFC 7396), and returns it. ErrNotFound: the newest version is deleted, or there is
// none. cas is as for Put.
func (v V2) Patch(ctx context.Context, path string, patch json.RawMessage, cas *int) (Version, error) {
	if err := checkObject(patch); err != nil {
		return Version{}, err
	}
	return v.write(ctx, path, cas, func(e *edit) (json.RawMessage, error) {
		n := e.record.current()
		if rev := e.record.find(n); rev == nil || !rev.live(v.now()) {
			return nil, ErrNotFound
		}
		raw, err := e.tx.Get(versionKey(e.data, n))
		if err != nil {
			return nil, fmt.Errorf("read kv data: %w", err)
		}
		data, err := e.record.decodeValue(raw)
		if err != nil {
			return nil, fmt.Errorf("read kv data: %w", err)
		}
		if data, err = mergePatch(data, patch); err != nil {
			return nil, err
		}
		return data, checkObject(data)
	})
}

// write adds a version with the data that makeData returns. A change of the mount's
// settings is seen by writes that begin after it was acknowledged.
func (v V2) write(
	ctx context.Context, path string, cas *int, makeData func(*edit) (json.RawMessage, error),
) (Version, error) {
	mount, err := v.Config(ctx)
	if err != nil {
		return Version{}, err
	}
	var written Version
	err = v.edit(ctx, path, func(e *edit) error {
		now := v.now().UTC()
		if e.record == nil {
			e.record = newRecord(now)
		}
		r := e.record
		settings := r.Settings.under(mount)
		if err := checkCAS(cas, r.current(), settings.CASRequired); err != nil {
			return err
		}
		data, err := makeData(e)
		if err != nil {
			return err
		}
		raw, err := encodeJSON(value{ID: r.ID, Data: data})
		if err != nil {
			return fmt.Errorf("encode kv data: %w", err)
		}
		rev := revision{Created: now}
		if d := settings.DeleteVersionAfter; d > 0 {
			rev.Deletion = now.Add(d)
		}
		n := r.add(rev, settings.MaxVersions)
		e.tx.Put(versionKey(e.data, n), raw)
		e.sweep(sweepPerWrite)
		e.save = true
		written = r.version(n, &rev)
		return nil
	})
	return written, err
}

func checkCAS(cas *int, current int, required bool) error {
	switch {
	case cas == nil && required:
		return ErrCASRequired
	case cas != nil && *cas != current:
		return ErrCASMismatch
	default:
		return nil
	}
}

// edit is one path while it is held by a write.
type edit struct {
	keys
	tx     store.Tx
	record *record // its metadata; nil if there is none
	save   bool    // write record when the edit is done
}

// edit runs fn with path held and commits what it did.
func (v V2) edit(ctx context.Context, path string, fn func(*edit) error) error {
	k, err := v.keys(path)
	if err != nil {
		return err
	}
	return v.store.Update(ctx, []string{k.meta, k.data}, func(tx store.Tx) error {
		e := &edit{keys: k, tx: tx}
		raw, err := tx.Get(k.meta)
		if err == nil {
			e.record, err = decodeRecord(raw)
		} else if errors.Is(err, storage.ErrNotFound) {
			err = nil
		}
		if err != nil {
			return err
		}
		if err := fn(e); err != nil || !e.save {
			return err
		}
		if raw, err = e.record.encode(); err != nil {
			return err
		}
		tx.Put(k.meta, raw)
		return nil
	})
}

// encodeJSON is json.Marshal without the escapes meant for HTML.
func encodeJSON(x any) ([]byte, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	err := enc.Encode(x)
	return bytes.TrimRight(buf.Bytes(), "\n"), err
}
