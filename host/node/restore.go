package node

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/holdfast/holdfast/host/api"
	"github.com/holdfast/holdfast/host/auth"
	"github.com/holdfast/holdfast/host/barrier"
	"github.com/holdfast/holdfast/host/ha"
	"github.com/holdfast/holdfast/sdk/storage"
)

// lookupTime bounds the look-up of a token in the store itself.
const lookupTime = 5 * time.Second

// requireRoot returns nil if token has the root policy. It is looked up in the store itself,
// so this works on every unsealed node, whichever is active.
func (s *session) requireRoot(ctx context.Context, token string) error {
	ctx, cancel := context.WithTimeout(ctx, lookupTime)
	defer cancel()
	entry, err := auth.New(direct{s.node.cfg.Storage, s.barrier, s.reloadKeyring}).Lookup(ctx, token)
	switch {
	case errors.Is(err, auth.ErrPermission):
		return api.ErrPermission
	case err != nil:
		return err
	case !entry.Root():
		return api.ErrPermission
	}
	return nil
}

// AcceptRestore implements api.Node.
func (n *Node) AcceptRestore(ctx context.Context, token string) error {
	s := n.session.Load()
	if s == nil {
		return barrier.ErrSealed
	}
	if err := s.requireRoot(ctx, token); err != nil {
		return err
	}
	// The keyring may have been restored too. What this node sealed with a key that is not in
	// it, nobody could read after the next start.
	err := s.reloadKeyring(ctx)
	switch {
	case errors.Is(err, barrier.ErrKeyringMismatch):
		return fmt.Errorf("%w: the keyring in the store is older than this node's; seal this node, unseal it and run the command again",
			ha.ErrNothingToAccept)
	case errors.Is(err, storage.ErrNotFound):
		return fmt.Errorf("%w: the store has no keyring (%s), so nothing in it can be read; restore a backup", ha.ErrNothingToAccept, keyringKey)
	case err != nil:
		return err
	}
	var others ha.Sighting
	if s.dialer != nil {
		actx, cancel := context.WithTimeout(ctx, time.Second)
		others = s.askOthers(actx)
		cancel()
	}
	lost := s.driver.Snapshot().RecordLost
	if err := s.driver.AcceptRestore(ctx, others); err != nil {
		return err
	}
	n.cfg.Logger.Warn("an operator has accepted the store as it is", "damage", lost, "record", s.driver.Snapshot().Seen.String())
	return nil
}

// unusable is the answer to requests while the term record is damaged; nil if it is not.
func (s *session) unusable() *api.Response {
	snapshot := s.driver.Snapshot()
	if snapshot.RecordLost == "" {
		return nil
	}
	return api.Unavailable("nothing is read or written: " + snapshot.RecordLost + "; " + snapshot.Damage.Remedy())
}

// alone answers what an operator asks of a cluster without an active node; nil for all
// other requests.
func (s *session) alone(ctx context.Context, req *api.Request) *api.Response {
	if req.Path != api.HAStatusPath || req.Method != http.MethodGet {
		return nil
	}
	if err := s.requireRoot(ctx, req.Token); err != nil {
		return api.FailureOf(err, s.node.cfg.Logger)
	}
	return api.HAStatus(s.node.Status())
}

// terms returns the history of terms, from the store itself.
func (s *session) terms(ctx context.Context) ([]api.Term, int, error) {
	kept, unreadable, err := ha.ReadTerms(ctx, s.node.cfg.Storage, s.barrier)
	terms := make([]api.Term, len(kept))
	for i, t := range kept {
		terms[i] = api.Term{
			Generation: t.Generation, Epoch: t.Epoch, InstanceID: t.Holder.ID, APIAddress: t.Holder.APIAddress,
			ClusterAddress: t.Holder.ClusterAddress, Began: t.Began, Reason: t.Reason, Ended: t.Ended, End: t.End,
		}
	}
	return terms, unreadable, err
}
