// Package auth keeps tokens. A token is stored only as a keyed hash, so neither
// the store nor a backup of it gives one away.
package auth

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/holdfast/holdfast/sdk/storage"
)

const (
	saltKey   = "hf/token/salt" // the key of the keyed hash; written once, at init
	entryDir  = "hf/token/id/"  // + hex of the keyed hash of the token
	saltBytes = 32

	entryFormat = 1

	// maxTokenBytes bounds what is hashed for a client that has not shown a token yet.
	maxTokenBytes = 512
)

// RootPolicy is the policy that allows everything.
const RootPolicy = "root"

// ErrPermission means that there is no such token. It says no more, so that a caller can not
// tell a token that never was from one that is gone.
var ErrPermission = errors.New("permission denied")

// Entry is what is known of one token. The token itself is not in it.
type Entry struct {
	Accessor     string            `json:"accessor"` // names the token without giving it away
	Policies     []string          `json:"policies"`
	Path         string            `json:"path"` // of the request that created it
	DisplayName  string            `json:"display_name"`
	Meta         map[string]string `json:"meta"`
	CreationTime int64             `json:"creation_time"` // Unix seconds
	Orphan       bool              `json:"orphan"`
}

// Root reports whether the token may do everything.
func (e *Entry) Root() bool { return slices.Contains(e.Policies, RootPolicy) }

// record is the stored form of an Entry.
type record struct {
	Format int `json:"format"`
	Entry
}

// Store is what Tokens needs of the store.
type Store interface {
	// Get returns the plaintext at key, or storage.ErrNotFound.
	Get(ctx context.Context, key string) ([]byte, error)
}

// Tokens looks tokens up. It is safe for concurrent use.
type Tokens struct {
	store Store
	salt  atomic.Pointer[[]byte] // of the cluster; nil until read
}

// New returns the tokens in s.
func New(s Store) *Tokens { return &Tokens{store: s} }

// Load reads what every lookup needs. A node calls it when it becomes active: an
// unreadable record shows then, not at the first request.
func (t *Tokens) Load(ctx context.Context) error {
	salt, err := t.store.Get(ctx, saltKey)
	if err != nil {
		return fmt.Errorf("read %s: %w", saltKey, err)
	}
	if len(salt) != saltBytes {
		return fmt.Errorf("read %s: %d bytes long, want %d", saltKey, len(salt), saltBytes)
	}
	t.salt.Store(&salt)
	return nil
}

// Lookup returns the entry of token. ErrPermission: there is none. Timing tells
// nothing about stored tokens: they are found by a keyed hash, never compared.
func (t *Tokens) Lookup(ctx context.Context, token string) (*Entry, error) {
	if token == "" || len(token) > maxTokenBytes {
		return nil, ErrPermission
	}
	salt, err := t.key(ctx)
	if err != nil {
		return nil, err
	}
	key := entryDir + digest(salt, token)
	raw, err := t.store.Get(ctx, key)
	if errors.Is(err, storage.ErrNotFound) {
		return nil, ErrPermission
	}
	if err != nil {
		return nil, fmt.Errorf("look up token: %w", err)
	}
	var r record
	if err := json.Unmarshal(raw, &r); err != nil {
		return nil, fmt.Errorf("decode %s: %w", key, err)
	}
	if r.Format != entryFormat {
		return nil, fmt.Errorf("decode %s: format %d, this version reads %d", key, r.Format, entryFormat)
	}
	return &r.Entry, nil
}

// MountID returns a name for the token method that is the same on every node and
// differs between clusters: 32 hex digits.
func (t *Tokens) MountID(ctx context.Context) (string, error) {
	salt, err := t.key(ctx)
	if err != nil {
		return "", err
	}
	return digest(salt, "auth/token/")[:32], nil
}

func (t *Tokens) key(ctx context.Context) ([]byte, error) {
	if t.salt.Load() == nil {
		if err := t.Load(ctx); err != nil {
			return nil, err
		}
	}
	return *t.salt.Load(), nil
}

// InitRecords returns the records, plaintext by key, that make token the first
// token of a new cluster: a root token that does not expire. They are written
// together with the rest of init.
func InitRecords(token string, now time.Time) (map[string][]byte, error) {
	if token == "" || len(token) > maxTokenBytes {
		return nil, fmt.Errorf("make root token: %d bytes long, want 1 to %d", len(token), maxTokenBytes)
	}
	salt := make([]byte, saltBytes)
	_, _ = rand.Read(salt) // never fails: crypto/rand ends the program instead
	entry, err := json.Marshal(record{
		Format: entryFormat,
		Entry: Entry{
			Accessor:     randomText(24),
			Policies:     []string{RootPolicy},
			Path:         "auth/token/root",
			DisplayName:  RootPolicy,
			CreationTime: now.Unix(),
			Orphan:       true,
		},
	})
	if err != nil {
		return nil, fmt.Errorf("encode root token: %w", err)
	}
	return map[string][]byte{
		saltKey:                        salt,
		entryDir + digest(salt, token): entry,
	}, nil
}

// NewToken returns a new token: "hvs." (the prefix that secret scanners look for)
// and 208 random bits.
func NewToken() string { return "hvs." + randomText(35) }

const base62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// randomText returns n random base62 digits, 5.95 bits each.
func randomText(n int) string {
	const fair = 256 - 256%len(base62) // bytes at or above it would favour the first digits
	text := make([]byte, 0, n)
	buf := make([]byte, 2*n)
	for len(text) < n {
		_, _ = rand.Read(buf)
		for _, b := range buf {
			if int(b) < fair && len(text) < n {
				text = append(text, base62[int(b)%len(base62)])
			}
		}
	}
	return string(text)
}

func digest(salt []byte, token string) string {
	mac := hmac.New(sha256.New, salt)
	mac.Write([]byte(token))
	return hex.EncodeToString(mac.Sum(nil))
}
