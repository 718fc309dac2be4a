package node

import (
	"context"
	"errors"

	"github.com/holdfast/holdfast/host/ha"
)

// errNotHolder: the record does not say that this node is active, or not any more.
var errNotHolder = errors.New("the term record is not this node's")

// proof returns how the store finds out, by a linearizable read of the record, that this
// node is still active in the tenure that it is in (P2); nil if there is no record.
func (s *session) proof() func(context.Context) error {
	if !s.node.cfg.Storage.HA() {
		return nil
	}
	return func(ctx context.Context) error {
		now := s.driver.Snapshot()
		raw, err := direct{s.node.cfg.Storage, s.barrier, s.reloadKeyring}.Get(ctx, ha.RecordKey)
		if err != nil {
			return err
		}
		record, err := ha.DecodeRecord(raw)
		if err != nil {
			return err
		}
		held := now.Role == ha.Active && record.Phase == ha.Held && record.Holder.ID == s.self.InstanceID &&
			record.Generation == now.Record.Generation && record.Epoch == now.Record.Epoch
		if !held {
			return errNotHolder
		}
		return nil
	}
}
