package node

import (
	"context"
	"errors"
	"time"

	"github.com/holdfast/holdfast/host/barrier"
	"github.com/holdfast/holdfast/host/rotation"
	"github.com/holdfast/holdfast/sdk/storage"
)

// sealer is the barrier to every value but the keyring, which is sealed under the root key
// before it comes here, and not under itself.
type sealer struct{ barrier *barrier.Barrier }

func (s sealer) Seal(key string, plain []byte) ([]byte, error) {
	if key == keyringKey {
		return plain, nil
	}
	return s.barrier.Seal(key, plain)
}

func (s sealer) Open(key string, sealed []byte) ([]byte, error) {
	if key == keyringKey {
		return sealed, nil
	}
	return s.barrier.Open(key, sealed)
}

// newRotator returns what rotates the cluster's key while this node is active.
func (s *session) newRotator() *rotation.Rotator {
	return rotation.New(rotation.Config{
		Barrier: s.barrier, Store: s.store, Logger: s.node.cfg.Logger.Named("keys"),
		KeyringKey: keyringKey, RecordKey: rotationKey,
		OpenKeyring: func(sealed []byte) (*barrier.Keyring, error) {
			return barrier.OpenKeyring(s.rootKey, keyringKey, sealed)
		},
		SealKeyring: func(k *barrier.Keyring) ([]byte, error) { return k.SealWith(s.rootKey, keyringKey) },
	})
}

// reloadKeyring takes over a keyring that another node has rotated.
func (s *session) reloadKeyring(ctx context.Context) error {
	rctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	keyring, err := s.node.readKeyring(rctx, s.rootKey)
	if err != nil {
		return err
	}
	defer keyring.Destroy()
	return s.barrier.Replace(keyring)
}

// direct reads records straight from the store, on a node that need not be active.
type direct struct {
	storage storage.Backend
	barrier *barrier.Barrier
	// reload is called for a record whose key this node does not have yet.
	reload func(ctx context.Context) error
}

func (d direct) Get(ctx context.Context, key string) ([]byte, error) {
	item, err := d.storage.Get(ctx, key)
	if err != nil {
		return nil, err
	}
	plain, err := d.barrier.Open(key, item.Value)
	if errors.Is(err, barrier.ErrUnknownTerm) {
		if err := d.reload(ctx); err != nil {
			return nil, err
		}
		return d.barrier.Open(key, item.Value)
	}
	return plain, err
}
