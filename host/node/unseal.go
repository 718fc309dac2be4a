package node

import (
	"context"
	"errors"
	"fmt"

	"github.com/holdfast/holdfast/host/api"
	"github.com/holdfast/holdfast/host/barrier"
	"github.com/holdfast/holdfast/host/ha"
	"github.com/holdfast/holdfast/host/seal"
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
	if err := n.checkFormats(ctx, keyring); err != nil {
		clear(rootKey)
		return err
	}
	return n.startSession(ctx, rootKey, keyring)
}

// checkFormats refuses to unseal a node that is too old for the cluster: as a standby it could
// do nothing. Whatever else is wrong with the record, the protocol will find.
func (n *Node) checkFormats(ctx context.Context, keyring *barrier.Keyring) error {
	b := barrier.New(keyring)
	defer b.Destroy()
	item, err := n.cfg.Storage.Get(ctx, ha.RecordKey)
	if err != nil {
		return nil
	}
	plain, err := b.Open(ha.RecordKey, item.Value)
	if err != nil {
		return nil
	}
	if _, err := ha.DecodeRecord(plain); errors.Is(err, ha.ErrNewerFormat) {
		return fmt.Errorf("%w: %w", api.ErrTooOld, err)
	}
	return nil
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
	if err := s.requireRoot(ctx, token); err != nil {
		return err
	}
	n.endSession(ctx, "sealed by an operator")
	n.cfg.Logger.Info("sealed")
	return nil
}
