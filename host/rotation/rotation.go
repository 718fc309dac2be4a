// Package rotation gives a cluster a new encryption key when it is asked to, when the old one
// sealed as much as it should, or when it is old; and counts what was sealed.
//
// The order is what makes a crash harmless. The keyring with the new key is written first,
// in one Commit, guarded by the term record like every other. It is used only once that
// Commit is known to be applied, so nothing in the store is ever sealed with a key that
// is not in the store's keyring. A node that takes over loads the keyring before it
// answers, and a standby that meets a record of a newer key loads it before it judges.
//
// The limit of AES-GCM with random nonces is on what all nodes together seal (NIST SP
// 800-38D, 8.3). So the count survives nodes: the active one stores, in advance, how much
// it may have sealed by the next time it stores that. Who takes over goes on from there.
// The count is never too low, but for what a node sealed beyond its reservation while the
// store was away, right before it died; what MaxOperations leaves free is 400 million.
package rotation

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/holdfast/holdfast/host/barrier"
	"github.com/holdfast/holdfast/host/store"
	"github.com/holdfast/holdfast/sdk/storage"
)

// errInDoubt means that the last keyring that was written may still arrive, and would replace
// the next one and its key. With high availability the term record rules that out, for
// an unknown outcome ends the tenure.
var errInDoubt = errors.New("the store did not say whether the last rotation was done: restart this node before the next one")

const (
	// reserve is how many values the active node may seal before it stores the count anew,
	// which it does when half are left. Each take-over counts as many too many: after 14,000
	// of them a key is rotated early.
	reserve = 1 << 18
	// checkInterval is how often the count is looked at. Half the reserve, within it, is more than
	// any store can take.
	checkInterval = time.Second
)

// Store is what a Rotator needs of the store. See host/store.
type Store interface {
	Begin(ctx context.Context) (context.Context, error)
	Ended(ctx context.Context) <-chan struct{}
	Get(ctx context.Context, key string) ([]byte, error)
	Update(ctx context.Context, lock []string, fn func(store.Tx) error) error
}

// Config of a Rotator. All fields but Now are required.
type Config struct {
	Barrier *barrier.Barrier
	Store   Store // keeps the value at KeyringKey as it is given, for it is sealed already
	Logger  hclog.Logger

	KeyringKey string // where the keyring is kept, sealed under the root key
	RecordKey  string // where the count and the policy are kept

	// OpenKeyring and SealKeyring use the root key.
	OpenKeyring func(sealed []byte) (*barrier.Keyring, error)
	SealKeyring func(k *barrier.Keyring) ([]byte, error)

	Now func() time.Time // the wall clock; time.Now if nil
}

// Record is what is kept beside the keyring.
type Record struct {
	Term      uint32    `json:"term"` // of the key that the rest is about
	Installed time.Time `json:"installed"`
	Seals     uint64    `json:"seals"` // at most so many were made with it
	Policy    Policy    `json:"policy"`
}

// FirstRecord returns the plain text of a new cluster's record.
func FirstRecord(term uint32, now time.Time) ([]byte, error) {
	return json.Marshal(Record{Term: term, Installed: now, Seals: reserve, Policy: DefaultPolicy()})
}

// Status is what there is to know of the key in use.
type Status struct {
	Term      uint32
	Installed time.Time
	Seals     uint64 // by all nodes; an estimate that is too high rather than too low
}

// Rotator rotates the key while its node is active. It is safe for concurrent use; Load
// comes before everything else, and Run is not called twice at a time.
type Rotator struct {
	cfg  Config
	asks chan ask

	mu      sync.Mutex
	record  Record // guarded by mu; as in the store
	unknown string // guarded by mu; why the record in the store is of no use; empty if it is
	inDoubt bool   // guarded by mu; a keyring was sent that may arrive at any time
	stored  Record // guarded by mu; Term and Seals are what this node knew last to be stored
}

// ask is a change that a client waits for.
type ask struct {
	do   func(ctx context.Context) error
	done chan<- error
}

// New returns a Rotator.
func New(cfg Config) *Rotator {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Rotator{cfg: cfg, asks: make(chan ask)}
}

// Load brings the keyring and the count to what the store has. A node calls it when it
// has become active and before it answers. A keyring that can not be opened, or lacks a key
// that this node has, is logged, for it does not keep this node from working; it does
// keep nodes from unsealing. The errors are those of reading.
func (r *Rotator) Load(ctx context.Context) error {
	ctx, err := r.cfg.Store.Begin(ctx)
	if err != nil {
		return err
	}
	if err := r.loadKeyring(ctx); err != nil {
		return err
	}
	plain, err := r.cfg.Store.Get(ctx, r.cfg.RecordKey)
	if err != nil && !errors.Is(err, storage.ErrNotFound) && !barrier.IsDamage(err) {
		return fmt.Errorf("read %s: %w", r.cfg.RecordKey, err)
	}
	var record Record
	if err == nil {
		err = json.Unmarshal(plain, &record)
	}
	if err == nil && record.Term != r.cfg.Barrier.KeyTerm() {
		err = fmt.Errorf("it is about the key of term %d, the keyring is at %d", record.Term, r.cfg.Barrier.KeyTerm())
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.record, r.unknown, r.inDoubt = record, "", false
	if err != nil {
		// Counting from nought would be the only other way.
		r.record = Record{Term: r.cfg.Barrier.KeyTerm(), Installed: r.cfg.Now(), Policy: DefaultPolicy()}
		r.unknown = "it is not known how much the key sealed: " + err.Error()
	}
	r.takeOverCount()
	return nil
}

func (r *Rotator) loadKeyring(ctx context.Context) error {
	sealed, err := r.cfg.Store.Get(ctx, r.cfg.KeyringKey)
	if err != nil && !errors.Is(err, storage.ErrNotFound) {
		return fmt.Errorf("read %s: %w", r.cfg.KeyringKey, err)
	}
	if err == nil {
		var keyring *barrier.Keyring
		if keyring, err = r.cfg.OpenKeyring(sealed); err == nil {
			defer keyring.Destroy()
			err = r.cfg.Barrier.Replace(keyring)
		}
	}
	if err != nil {
		r.cfg.Logger.Error("the keyring in the store can not be used: no node can be unsealed until it is restored", "key", r.cfg.KeyringKey, "error", err)
	}
	return nil
}

// takeOverCount goes on from what the record says was sealed at most. What this node
// counts itself is in that already, up to what it knew last to be stored. r.mu is held.
func (r *Rotator) takeOverCount() {
	own, stored := r.cfg.Barrier.Seals(), uint64(0)
	if r.stored.Term == r.record.Term {
		stored = min(own, r.stored.Seals)
	}
	estimate := r.record.Seals + own - stored
	r.cfg.Barrier.AddSeals(r.record.Term, estimate-min(own, estimate))
	r.stored = r.record
}

// Status returns what there is to know of the key in use.
func (r *Rotator) Status() Status {
	r.mu.Lock()
	defer r.mu.Unlock()
	return Status{Term: r.record.Term, Installed: r.record.Installed, Seals: r.cfg.Barrier.Seals()}
}

// Policy returns the policy in force.
func (r *Rotator) Policy() Policy {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.record.Policy
}
