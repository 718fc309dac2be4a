package node

import (
	"context"
	"errors"
	"fmt"

	"github.com/holdfast/holdfast/host/api"
	"github.com/holdfast/holdfast/host/auth"
	"github.com/holdfast/holdfast/host/barrier"
	"github.com/holdfast/holdfast/host/seal"
	"github.com/holdfast/holdfast/sdk/storage"
)

// Unseal implements api.Node.
func (n *Node) Unseal(ctx context.Context, share []byte) error {
	n.change.Lock()
	defer n.change.Unlock()
	if n.session.Load() != nil {
		return nil // unsealed already
	}
	known, err := n.Initialized(ctx)
	if err != nil {
		return err
	}
	if !known {
		return api.ErrNotInitialized
	}
	config := n.config.Load()
	if n.attempt.Load() == nil {
		a, err := seal.NewAttempt(config.Shares, config.Threshold)
		if err != nil {
			return err
		}
		n.attempt.Store(a)
	}
	shares, err := n.attempt.Load().Add(share)
	switch {
	case errors.Is(err, seal.ErrDuplicateShare):
		return nil
	case err != nil:
		return fmt.Errorf("%w: %w", api.ErrBadShare, err)
	case shares == nil:
		return nil
	}
	defer func() {
		for _, s := range shares {
			clear(s)
		}
	}()
	rootKey, err := seal.Combine(shares, config.Threshold)
	if err != nil {
		return fmt.Errorf("%w: %w", api.ErrBadShare, err)
	}
	keyring, err := n.readKeyring(ctx, rootKey)
	if errors.Is(err, barrier.ErrWrongKey) {
		clear(rootKey)
		return fmt.Errorf("%w: the shares given do not make the key of this cluster; at least one is wrong. Start again with the first share",
			api.ErrBadShare)
	}
	if err != nil {
		clear(rootKey)
		return err
	}
	defer keyring.Destroy()
	return n.startSession(ctx, rootKey, keyring)
}

func (n *Node) readKeyring(ctx context.Context, rootKey []byte) (*barrier.Keyring, error) {
	item, err := n.cfg.Storage.Get(ctx, keyringKey)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", keyringKey, err)
	}
	return barrier.OpenKeyring(rootKey, keyringKey, item.Value)
}

// ResetUnseal implements api.Node.
func (n *Node) ResetUnseal() {
	if a := n.attempt.Load(); a != nil {
		a.Reset()
	}
}

// Seal implements api.Node. It works on every node, active or not: the token is
// looked up in the store itself.
func (n *Node) Seal(ctx context.Context, token string) error {
	n.change.Lock()
	defer n.change.Unlock()
	s := n.session.Load()
	if s == nil {
		return nil
	}
	entry, err := auth.New(direct{n.cfg.Storage, s.barrier}).Lookup(ctx, token)
	switch {
	case errors.Is(err, auth.ErrPermission):
		return api.ErrPermission
	case err != nil:
		return err
	case !entry.Root():
		return api.ErrPermission
	}
	n.endSession(ctx, "sealed by an operator")
	n.cfg.Logger.Info("sealed")
	return nil
}

// direct reads records straight from the store.
type direct struct {
	storage storage.Backend
	barrier *barrier.Barrier
}

func (d direct) Get(ctx context.Context, key string) ([]byte, error) {
	item, err := d.storage.Get(ctx, key)
	if err != nil {
		return nil, err
	}
	return d.barrier.Open(key, item.Value)
}
