package node

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/holdfast/holdfast/host/api"
	"github.com/holdfast/holdfast/host/auth"
	"github.com/holdfast/holdfast/host/barrier"
	"github.com/holdfast/holdfast/host/cluster"
	"github.com/holdfast/holdfast/host/ha"
	"github.com/holdfast/holdfast/host/rotation"
	"github.com/holdfast/holdfast/host/seal"
	"github.com/holdfast/holdfast/host/store"
	"github.com/holdfast/holdfast/sdk/storage"
)

// Init implements api.Node. All records of the new cluster are written in one
// Commit that demands that there is no term record yet, so of several nodes that
// initialise at once exactly one succeeds.
func (n *Node) Init(ctx context.Context, req api.InitRequest) (api.InitResult, error) {
	if err := seal.ValidateSplit(req.Shares, req.Threshold); err != nil {
		return api.InitResult{}, err
	}
	n.change.Lock()
	defer n.change.Unlock()
	if err := n.checkEmpty(ctx); err != nil {
		return api.InitResult{}, err
	}
	rootKey, shares, err := seal.Generate(req.Shares, req.Threshold)
	if err != nil {
		return api.InitResult{}, err
	}
	defer clear(rootKey)
	token := n.cfg.RootToken
	if token == "" {
		token = auth.NewToken()
	}
	term, ops, err := n.firstRecords(req, rootKey, token)
	if err != nil {
		return api.InitResult{}, err
	}
	if n.cfg.Storage.HA() {
		err = n.commitFirst(ctx, term, ops)
	} else {
		err = n.cfg.Storage.Write(ctx, append(ops, storage.Put(ha.RecordKey, term)))
		if err != nil && storage.OutcomeOf(err) == storage.Unknown {
			err = outcomeUnknown(err)
		}
	}
	if err != nil {
		return api.InitResult{}, err
	}
	if _, err := n.Initialized(ctx); err != nil {
		n.cfg.Logger.Warn("read the seal configuration just written", "error", err)
	}
	n.cfg.Logger.Info("cluster initialized", "shares", req.Shares, "threshold", req.Threshold)
	return api.InitResult{Shares: shares, RootToken: token}, nil
}

// firstRecords returns the sealed term record and the ops that write the rest.
func (n *Node) firstRecords(req api.InitRequest, rootKey []byte, token string) (term []byte, ops []storage.Op, err error) {
	id := uuid.NewString()
	name := n.cfg.ClusterName
	if name == "" {
		name = "holdfast-cluster-" + strings.ToLower(rand.Text()[:8])
	}
	config, err := seal.NewConfig(req.Shares, req.Threshold, id, name).Encode()
	if err != nil {
		return nil, nil, err
	}
	keyring := barrier.NewKeyring(id)
	defer keyring.Destroy()
	keys, err := keyring.SealWith(rootKey, keyringKey)
	if err != nil {
		return nil, nil, err
	}
	ca, err := cluster.NewCA()
	if err != nil {
		return nil, nil, err
	}
	plain, err := auth.InitRecords(token, time.Now())
	if err != nil {
		return nil, nil, err
	}
	if plain[clusterKey], err = ca.Marshal(); err != nil {
		return nil, nil, err
	}
	if plain[rotationKey], err = rotation.FirstRecord(keyring.ActiveTerm(), time.Now()); err != nil {
		return nil, nil, err
	}
	if plain[ha.RecordKey], err = ha.FirstRecord(id).Encode(); err != nil {
		return nil, nil, err
	}
	ops = []storage.Op{storage.Put(sealKey, config), storage.Put(keyringKey, keys)}
	b := barrier.New(keyring)
	defer b.Destroy()
	for key, value := range plain {
		sealed, err := b.Seal(key, value)
		if err != nil {
			return nil, nil, err
		}
		if key == ha.RecordKey {
			term = sealed
			continue
		}
		ops = append(ops, storage.Put(key, sealed))
	}
	return term, ops, nil
}

// commitFirst writes the records, and makes sure of the outcome: keys must not be
// handed out for a cluster that another node initialised.
func (n *Node) commitFirst(ctx context.Context, term []byte, ops []storage.Op) error {
	guard := storage.Guard{Key: ha.RecordKey, Value: term}
	doubt := false // an attempt had no answer: that a later one was not applied says nothing of it
	for {
		_, err := n.cfg.Storage.Commit(ctx, guard, ops)
		conflict := errors.Is(err, storage.ErrConflict)
		unapplied := storage.OutcomeOf(err) == storage.Unapplied
		if err == nil || unapplied && !conflict && !doubt {
			return err
		}
		if conflict && !doubt {
			return api.ErrInitialized // by another node: no attempt of this one was applied
		}
		doubt = doubt || !unapplied
		if conflict {
			var item storage.Item
			if item, err = n.cfg.Storage.Get(ctx, ha.RecordKey); err == nil {
				if bytes.Equal(item.Value, term) {
					return nil // an attempt without an answer was applied
				}
				return api.ErrInitialized
			}
		}
		select {
		case <-time.After(200 * time.Millisecond): // the same Commit again: it can be applied only once
		case <-ctx.Done():
			return outcomeUnknown(err)
		}
	}
}

// outcomeUnknown is what init returns when the store did not say what became of the first records.
func outcomeUnknown(err error) error {
	return fmt.Errorf("initialise: %w, the store did not answer: %w. If the cluster turns out to be initialised, "+
		"its keys were never shown: remove everything below %s from the store and initialise again", store.ErrOutcomeUnknown, err, home)
}

// checkEmpty refuses a prefix of the store that holds anything but ours. Nothing is
// ever overwritten.
func (n *Node) checkEmpty(ctx context.Context) error {
	names, err := n.cfg.Storage.List(ctx, "", "", 100)
	if err != nil {
		return fmt.Errorf("look at what the store holds: %w", err)
	}
	foreign := slices.DeleteFunc(names, func(name string) bool { return name == home })
	if len(foreign) > 0 {
		return n.foreign(ctx, foreign)
	}
	ours, err := n.cfg.Storage.List(ctx, home, "", 0)
	if err != nil {
		return fmt.Errorf("look at what the store holds: %w", err)
	}
	if slices.Contains(ours, strings.TrimPrefix(sealKey, home)) {
		return api.ErrInitialized
	}
	ours = slices.DeleteFunc(ours, func(name string) bool { return home+name == ha.InstanceKey })
	if len(ours) > 0 {
		return fmt.Errorf("%w: it holds %d records below %s but no %s: parts of a damaged cluster. "+
			"Restore %s from a backup, or remove all of %s to begin anew", api.ErrNotEmpty, len(ours), home, sealKey, sealKey, home)
	}
	return nil
}

func (n *Node) foreign(ctx context.Context, names []string) error {
	_, err := n.cfg.Storage.Get(ctx, "core/keyring")
	switch {
	case err == nil:
		return fmt.Errorf("%w: it holds data of Vault or OpenBao at this path (core/keyring), which Holdfast does not share. "+
			"Set another path in the storage stanza", api.ErrNotEmpty)
	case !errors.Is(err, storage.ErrNotFound):
		return fmt.Errorf("look at what the store holds: %w", err)
	}
	return fmt.Errorf("%w: it holds data that is not Holdfast's at this path (%q). Set another path in the storage stanza",
		api.ErrNotEmpty, names[:min(len(names), 3)])
}
