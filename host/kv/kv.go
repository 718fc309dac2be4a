// Package kv is the key/value secrets engine: version 1 keeps one value for each
// path, version 2 keeps several versions of it, with check-and-set and deletion
// that can be undone.
//
// A V1 or V2 is a view of one mount's data in the store; it holds no state. Values
// are JSON objects and come back as they were given: numbers are never parsed.
package kv

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/holdfast/holdfast/host/store"
	"github.com/holdfast/holdfast/sdk/storage"
)

// The errors that callers tell apart. Other errors are the store's.
var (
	// ErrNotFound: nothing was ever written there, or it was purged.
	ErrNotFound = errors.New("not found")
	// ErrInvalid: the request can not be meant, whatever is stored. Nothing was written.
	ErrInvalid = errors.New("invalid request")
	// ErrCASMismatch: the current version is not the one expected. Nothing was written.
	ErrCASMismatch = errors.New("check-and-set parameter did not match the current version")
	// ErrCASRequired: the mount or the path takes writes with check-and-set only.
	ErrCASRequired = errors.New("check-and-set parameter required for this call")
)

// Store is what the engine needs of the store. See host/store.
type Store interface {
	// Get returns the plaintext at key, or storage.ErrNotFound.
	Get(ctx context.Context, key string) ([]byte, error)
	// List returns the names directly below prefix.
	List(ctx context.Context, prefix string) ([]string, error)
	// Put sets key to value, whatever was there.
	Put(ctx context.Context, key string, value []byte) error
	// Delete removes key, if it is there.
	Delete(ctx context.Context, key string) error
	// Update runs fn with the names in lock held and commits its writes in one batch
	// of at most storage.MinOps.
	Update(ctx context.Context, lock []string, fn func(store.Tx) error) error
}

// maxDepth is how deep a value may nest.
const maxDepth = 64

// checkObject says why raw can not be stored: it is no JSON object, or nests too deep.
func checkObject(raw json.RawMessage) error {
	if !json.Valid(raw) {
		return fmt.Errorf("%w: data is not valid JSON", ErrInvalid)
	}
	if !isObject(raw) {
		return fmt.Errorf("%w: data is not a JSON object", ErrInvalid)
	}
	if depth := Depth(raw); depth > maxDepth {
		return fmt.Errorf("%w: data nests %d levels deep, the most is %d", ErrInvalid, depth, maxDepth)
	}
	return nil
}

// Depth returns how deep the objects and arrays of valid JSON nest.
func Depth(raw []byte) int {
	var depth, deepest int
	inString := false
	for i := 0; i < len(raw); i++ {
		switch c := raw[i]; {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case inString:
		case c == '{' || c == '[':
			depth++
			deepest = max(deepest, depth)
		case c == '}' || c == ']':
			depth--
		}
	}
	return deepest
}

func isObject(raw json.RawMessage) bool {
	return bytes.HasPrefix(bytes.TrimLeft(raw, " \t\r\n"), []byte("{"))
}

// join returns the key of path below dir, which ends in "/". The errors wrap
// storage.ErrInvalidKey. room is how many bytes are appended to the key later.
func join(dir, path string, room int) (string, error) {
	if err := storage.ValidateKey(path); err != nil {
		return "", fmt.Errorf("path: %w", err)
	}
	if longest := storage.MaxKeyBytes - len(dir) - room; len(path) > longest {
		return "", fmt.Errorf("path: %w: %d bytes long, the most is %d", storage.ErrInvalidKey, len(path), longest)
	}
	return dir + path, nil
}

// list returns the names below path (empty: all) in dir. ErrNotFound: there are none.
func list(ctx context.Context, s Store, dir, path string) ([]string, error) {
	if path = strings.TrimSuffix(path, "/"); path != "" {
		key, err := join(dir, path, 1)
		if err != nil {
			return nil, err
		}
		dir = key + "/"
	}
	names, err := s.List(ctx, dir)
	if err != nil {
		return nil, err
	}
	if len(names) == 0 {
		return nil, ErrNotFound
	}
	return names, nil
}
