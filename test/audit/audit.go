// Package audit looks at the store itself, behind the servers' backs: every change of the
// data must have come together with a change of the term record, in the highest epoch so
// far, and each epoch must have one holder. What clients saw has no part in it.
package audit

import (
	"context"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"github.com/holdfast/holdfast/host/barrier"
	"github.com/holdfast/holdfast/host/ha"
	"github.com/holdfast/holdfast/host/seal"
)

const (
	home       = "holdfast/" // the default path of a storage stanza
	keyringKey = "hf/keyring"
	sealKey    = "hf/seal" // says how many shares there are, in clear
)

// A Follower tells an Audit all that happens in a store, or all that it can see of it, until
// ctx ends. It puts up with servers that come and go.
type Follower func(ctx context.Context, a *Audit) error

// Audit judges what happens in a store. Its methods are for one goroutine at a time.
type Audit struct {
	rootKey []byte
	keyring []byte           // as it was opened last
	barrier *barrier.Barrier // nil before the keyring was seen

	seen     int
	epoch    uint64
	holder   string // of epoch
	formats  []int  // of the term record, as they followed each other
	opened   map[string]uint64
	problems []string
}

// New returns an Audit of a cluster with one unseal key, in base64.
func New(unsealKey string) (*Audit, error) {
	share, err := base64.StdEncoding.DecodeString(unsealKey)
	if err != nil {
		return nil, fmt.Errorf("decode the unseal key: %w", err)
	}
	rootKey, err := seal.Combine([][]byte{share}, 1)
	if err != nil {
		return nil, err
	}
	return &Audit{rootKey: rootKey, opened: map[string]uint64{}}, nil
}

// Run follows a store until ctx ends.
func (a *Audit) Run(ctx context.Context, follow Follower) {
	if err := follow(ctx, a); err != nil {
		a.problem("the store can not be followed: %v", err)
	}
}

// Report fails t for everything that was wrong, and if too little was seen to mean anything.
// It returns what was wrong.
func (a *Audit) Report(t *testing.T) []string {
	t.Helper()
	t.Logf("audit of the store: %d states or transactions, up to epoch %d", a.seen, a.epoch)
	for _, p := range a.problems {
		t.Errorf("audit of the store: %s", p)
	}
	if a.seen < 20 || a.epoch < 2 {
		t.Errorf("the audit saw %d states or transactions, up to epoch %d: too little to mean anything", a.seen, a.epoch)
	}
	return a.problems
}

// mostProblems are kept: one is enough to know, and there may be no end to them.
const mostProblems = 20

func (a *Audit) problem(format string, args ...any) {
	if len(a.problems) < mostProblems {
		a.problems = append(a.problems, fmt.Sprintf(format, args...))
	}
}

// record is a key as the store has it. Changed is the store's own count of changes: what
// one transaction writes gets one number.
type record struct {
	value   []byte
	changed uint64
}

// state takes in everything below hf/ at one moment. The term record must be at least as
// new as the newest data.
func (a *Audit) state(records map[string]record) {
	a.seen++
	a.take(records[keyringKey].value)
	term, ok := records[ha.RecordKey]
	if !ok {
		a.problem("there is data and no term record")
		return
	}
	opened := make(map[string]uint64, len(records))
	for key, r := range records {
		if a.opened[key] != r.changed { // else it was opened before
			a.open(fmt.Sprint(r.changed), key, r.value)
		}
		opened[key] = r.changed
		if r.changed > term.changed {
			a.problem("%s changed at %d, after the term record at %d", key, r.changed, term.changed)
		}
	}
	a.opened = opened
	a.term(fmt.Sprint(term.changed), term.value)
}

// transaction takes in all keys that one transaction changed; those that it deleted are nil.
func (a *Audit) transaction(number string, changes map[string][]byte) {
	data := false
	for key := range changes {
		data = data || strings.HasPrefix(key, "hf/")
	}
	if !data {
		return
	}
	a.seen++
	a.take(changes[keyringKey])
	term, ok := changes[ha.RecordKey]
	switch {
	case !ok:
		a.problem("transaction %s changed %d keys without the term record, among them %s", number, len(changes), anyOf(changes))
	case term == nil:
		a.problem("transaction %s deleted the term record", number)
	default:
		a.term(number, term)
	}
	for key, value := range changes {
		if value != nil && strings.HasPrefix(key, "hf/") {
			a.open(number, key, value)
		}
	}
}

// open demands that the keyring in the store opens everything else in it.
func (a *Audit) open(number, key string, value []byte) {
	if key == keyringKey || key == sealKey || a.barrier == nil {
		return
	}
	if _, err := a.barrier.Open(key, value); err != nil {
		a.problem("at %s: %v", number, err)
	}
}

// Formats returns the formats of the term record, as they followed each other.
func (a *Audit) Formats() []int { return a.formats }

func anyOf(changes map[string][]byte) string {
	for key := range changes {
		return key
	}
	return ""
}

// take opens the keyring, if it is a new one.
func (a *Audit) take(keyring []byte) {
	if keyring == nil || string(keyring) == string(a.keyring) {
		return
	}
	opened, err := barrier.OpenKeyring(a.rootKey, keyringKey, keyring)
	if err == nil && a.barrier == nil {
		a.barrier = barrier.New(opened)
	} else if err == nil {
		err = a.barrier.Replace(opened)
	}
	if err != nil {
		a.problem("%s: %v", keyringKey, err)
		return
	}
	a.keyring = append([]byte(nil), keyring...)
}

// term judges a term record.
func (a *Audit) term(number string, sealed []byte) {
	if a.barrier == nil {
		a.problem("at %s: a term record before the keyring", number)
		return
	}
	plain, err := a.barrier.Open(ha.RecordKey, sealed)
	if err != nil {
		a.problem("at %s: %v", number, err)
		return
	}
	r, err := ha.DecodeRecord(plain)
	switch {
	case err != nil:
		a.problem("at %s: %v", number, err)
	case r.Epoch < a.epoch:
		a.problem("at %s: epoch %d after epoch %d", number, r.Epoch, a.epoch)
	case r.Epoch == a.epoch && r.Holder.ID != a.holder:
		a.problem("at %s: epoch %d has the holders %s and %s", number, r.Epoch, a.holder, r.Holder.ID)
	}
	a.epoch, a.holder = max(a.epoch, r.Epoch), r.Holder.ID
	if n := len(a.formats); err == nil && (n == 0 || a.formats[n-1] != r.Format) {
		a.formats = append(a.formats, r.Format)
	}
}
