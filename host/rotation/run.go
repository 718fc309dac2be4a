package rotation

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/holdfast/holdfast/host/barrier"
	"github.com/holdfast/holdfast/host/store"
)

// Run rotates when it is due and when it is asked to, and stores the count, until ctx, that
// of the tenure, ends.
func (r *Rotator) Run(ctx context.Context) error {
	ctx, err := r.cfg.Store.Begin(ctx)
	if err != nil {
		return err
	}
	ticker := time.NewTicker(checkInterval)
	defer ticker.Stop()
	trouble := false
	for {
		err := r.check(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil && !trouble {
			r.cfg.Logger.Warn("look after the encryption key; trying again every second", "error", err)
		}
		trouble = err != nil
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		case a := <-r.asks:
			a.done <- a.do(ctx)
		}
	}
}

// Rotate makes a new key the one in use, and returns when it is. store.ErrNotActive and
// store.ErrOutcomeUnknown as from every write. ctx, which Store.Begin returned, bounds the
// wait, not the rotation.
func (r *Rotator) Rotate(ctx context.Context) error {
	return r.ask(ctx, func(ctx context.Context) error { return r.rotate(ctx, "an operator asked for it") })
}

// SetPolicy has change edit the policy in force. Beside the errors of Rotate there is ErrInvalid.
func (r *Rotator) SetPolicy(ctx context.Context, change func(*Policy)) error {
	return r.ask(ctx, func(ctx context.Context) error {
		return r.amend(ctx, func(next *Record) error {
			change(&next.Policy)
			return next.Policy.Validate()
		})
	})
}

// ask has Run do it: within the tenure, whose end is the only thing that may leave the
// outcome open. A client's deadline could leave a keyring in the store that this node
// does not know of.
func (r *Rotator) ask(ctx context.Context, do func(context.Context) error) error {
	done, ended := make(chan error, 1), r.cfg.Store.Ended(ctx)
	within := func(run context.Context) error {
		select {
		case <-ended:
			return store.ErrNotActive // Run is in the next tenure already
		default:
			return do(run)
		}
	}
	select {
	case r.asks <- ask{do: within, done: done}:
	case <-ended:
		return store.ErrNotActive
	case <-ctx.Done():
		return fmt.Errorf("%w: the request waited for another change of the key: %w", store.ErrNotActive, ctx.Err())
	}
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return store.ErrOutcomeUnknown
	}
}

// check rotates or stores the count if it is time to.
func (r *Rotator) check(ctx context.Context) error {
	r.mu.Lock()
	record, reason := r.record, r.unknown
	r.mu.Unlock()
	seals := r.cfg.Barrier.Seals()
	if reason == "" {
		reason = record.Policy.due(seals, r.cfg.Now().Sub(record.Installed))
	}
	switch {
	case reason != "":
		return r.rotate(ctx, reason)
	case seals+reserve/2 > record.Seals:
		return r.amend(ctx, func(next *Record) error {
			next.Seals = seals + reserve
			return nil
		})
	}
	return nil
}

// rotate writes a keyring with a new key and, once that is certain, goes on with it.
func (r *Rotator) rotate(ctx context.Context, reason string) error {
	r.mu.Lock()
	next, inDoubt := r.record, r.inDoubt
	r.mu.Unlock()
	if inDoubt {
		return errInDoubt
	}
	var rotated *barrier.Keyring
	err := r.cfg.Store.Update(ctx, []string{r.cfg.KeyringKey, r.cfg.RecordKey}, func(tx store.Tx) error {
		stored, err := tx.Get(r.cfg.KeyringKey)
		if err != nil {
			return fmt.Errorf("read %s: %w", r.cfg.KeyringKey, err)
		}
		if rotated, err = r.continued(stored); err != nil {
			return err
		}
		sealed, err := r.cfg.SealKeyring(rotated)
		if err != nil {
			return err
		}
		next.Term, next.Installed, next.Seals = rotated.ActiveTerm(), r.cfg.Now(), reserve
		plain, err := json.Marshal(next)
		if err != nil {
			return err
		}
		tx.Put(r.cfg.KeyringKey, sealed)
		tx.Put(r.cfg.RecordKey, plain)
		return nil
	})
	if rotated != nil {
		defer rotated.Destroy()
	}
	if err != nil {
		r.mu.Lock()
		r.inDoubt = errors.Is(err, store.ErrOutcomeUnknown)
		r.mu.Unlock()
		return fmt.Errorf("rotate the encryption key: %w", err)
	}
	if err := r.cfg.Barrier.Replace(rotated); err != nil {
		return fmt.Errorf("use the new encryption key: %w", err)
	}
	r.remember(next)
	r.cfg.Logger.Info("rotated the encryption key", "key_term", next.Term, "reason", reason)
	return nil
}

// continued returns the stored keyring with one more key. It refuses one that lacks a key
// of this node: what that key sealed would be lost.
func (r *Rotator) continued(sealed []byte) (*barrier.Keyring, error) {
	stored, err := r.cfg.OpenKeyring(sealed)
	if err != nil {
		return nil, err
	}
	defer stored.Destroy()
	if err := r.cfg.Barrier.Replace(stored); err != nil {
		return nil, fmt.Errorf("%s in the store: %w", r.cfg.KeyringKey, err)
	}
	return stored.Rotate(), nil
}

// amend stores what change makes of the record.
func (r *Rotator) amend(ctx context.Context, change func(next *Record) error) error {
	r.mu.Lock()
	next, unknown := r.record, r.unknown
	r.mu.Unlock()
	if unknown != "" {
		return fmt.Errorf("write %s: the key must be rotated first: %s", r.cfg.RecordKey, unknown)
	}
	if err := change(&next); err != nil {
		return err
	}
	plain, err := json.Marshal(next)
	if err != nil {
		return err
	}
	err = r.cfg.Store.Update(ctx, []string{r.cfg.RecordKey}, func(tx store.Tx) error {
		tx.Put(r.cfg.RecordKey, plain)
		return nil
	})
	if err != nil {
		return fmt.Errorf("write %s: %w", r.cfg.RecordKey, err)
	}
	r.remember(next)
	return nil
}

// remember takes in that next is what the store has.
func (r *Rotator) remember(next Record) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.record, r.stored, r.unknown = next, next, ""
}
