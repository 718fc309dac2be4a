package ha

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/holdfast/holdfast/sdk/storage"
)

// KeptTerms is how many terms the history holds: the latest.
const KeptTerms = 100

// termsHome is where the history is, one key for each of the last epochs. A term's key is
// written in the Commit that begins it, and again in the one that gives it up: the
// history costs no request, and needs none before a take-over.
const termsHome = "hf/terms/"

// Term is one term of the history. Times are of the wall clock of the node that wrote them,
// for people.
type Term struct {
	Generation uint64    `json:"generation,omitempty"`
	Epoch      uint64    `json:"epoch"`
	Holder     Node      `json:"holder"` // empty: an operator accepted a restored store
	Began      time.Time `json:"began"`
	Reason     string    `json:"reason"`         // why it began
	Ended      time.Time `json:"ended,omitzero"` // zero: not yet, or its holder could not say
	End        string    `json:"end,omitempty"`  // why it ended
}

// termKey is where the term of an epoch is kept.
func termKey(epoch uint64) string { return fmt.Sprintf("%s%02d", termsHome, epoch%KeptTerms) }

// chronicle returns what a adds to the history.
func (d *Driver) chronicle(a Attempt) []storage.Op {
	now := time.Now().UTC()
	switch a.Kind {
	case TakeOver:
		d.term = Term{Began: now, Reason: d.state.Record.ending()}
	case Accept:
		d.term = Term{Began: now, Reason: "an operator accepted the store as it was: " + d.state.Trouble}
	case GiveUp:
		d.term.Ended, d.term.End = now, d.state.Reason
	}
	d.term.Generation, d.term.Epoch, d.term.Holder = a.Record.Generation, a.Record.Epoch, a.Record.Holder
	key := termKey(a.Record.Epoch)
	plain, err := json.Marshal(d.term)
	if err == nil {
		plain, err = d.cfg.Sealer.Seal(key, plain)
	}
	if err != nil {
		d.cfg.Logger.Warn("this term will be missing from the history of terms", "epoch", a.Record.Epoch, "error", err)
		return nil
	}
	return []storage.Op{storage.Put(key, plain)}
}

// termReads is how many terms are read at a time.
const termReads = 8

// ReadTerms returns the history of terms, the latest first, and how many of them can not
// be read. It asks the store itself, so it works on any node.
func ReadTerms(ctx context.Context, b storage.Backend, s Sealer) (terms []Term, unreadable int, err error) {
	names, err := b.List(ctx, termsHome, "", KeptTerms)
	if err != nil {
		return nil, 0, fmt.Errorf("read the history of terms: %w", err)
	}
	found := make([]*Term, len(names)) // nil: can not be read
	errs := make([]error, termReads)
	var readers sync.WaitGroup
	for first := range termReads {
		readers.Go(func() {
			for i := first; i < len(names) && errs[first] == nil; i += termReads {
				found[i], errs[first] = readTerm(ctx, b, s, termsHome+names[i])
			}
		})
	}
	readers.Wait()
	if err := errors.Join(errs...); err != nil {
		return nil, 0, fmt.Errorf("read the history of terms: %w", err)
	}
	for _, term := range found {
		if term == nil {
			unreadable++
			continue
		}
		terms = append(terms, *term)
	}
	slices.SortFunc(terms, func(a, b Term) int {
		return cmp.Or(cmp.Compare(b.Generation, a.Generation), cmp.Compare(b.Epoch, a.Epoch))
	})
	return terms, unreadable, nil
}

// readTerm returns the term at key; nil if it can not be read.
func readTerm(ctx context.Context, b storage.Backend, s Sealer, key string) (*Term, error) {
	item, err := b.Get(ctx, key)
	if err != nil {
		if errors.Is(err, storage.ErrNotFound) {
			err = nil
		}
		return nil, err
	}
	var term *Term
	plain, err := s.Open(key, item.Value)
	if err == nil {
		err = json.Unmarshal(plain, &term)
	}
	if err != nil {
		return nil, nil //nolint:nilerr // damage of one entry is no reason not to show the others
	}
	return term, nil
}
