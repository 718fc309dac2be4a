package node

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"time"

	"github.com/holdfast/holdfast/host/api"
	"github.com/holdfast/holdfast/host/barrier"
	"github.com/holdfast/holdfast/host/plugin"
	"github.com/holdfast/holdfast/sdk/storage"
)

// Plugin is what an operator may ask of the storage plugin: plugin.Storage.
type Plugin interface {
	Info() plugin.Info
	Reload(ctx context.Context, witness string) error
}

// tokenSum is a one-way hash of a token.
type tokenSum [sha256.Size]byte

// StoragePlugin implements api.Node. The token is looked up in the store itself, so it works
// on every unsealed node. While the plugin is down nothing can be looked up: then a token that the
// store has confirmed before, for this very question, will do, and for others the error says why.
func (n *Node) StoragePlugin(ctx context.Context, token string) (api.StoragePlugin, error) {
	s := n.session.Load()
	if s == nil {
		return api.StoragePlugin{}, barrier.ErrSealed
	}
	sum := tokenSum(sha256.Sum256([]byte(token)))
	err := s.requireRoot(ctx, token)
	switch known := n.known.Load(); {
	case err == nil:
		n.known.Store(&sum)
	case errors.Is(err, storage.ErrUnavailable) && known != nil && subtle.ConstantTimeCompare(sum[:], known[:]) == 1:
	default:
		return api.StoragePlugin{}, err
	}
	return n.describePlugin(), nil
}

// ReloadPlugin implements api.Node. The seal's record is there once the cluster is initialised,
// and nothing changes it while the nodes are unsealed: a process that does not show it works on other data.
func (n *Node) ReloadPlugin(ctx context.Context, token string) (api.StoragePlugin, error) {
	s := n.session.Load()
	if s == nil {
		return api.StoragePlugin{}, barrier.ErrSealed
	}
	if err := s.requireRoot(ctx, token); err != nil {
		return api.StoragePlugin{}, err
	}
	if err := n.cfg.Plugin.Reload(ctx, sealKey); err != nil {
		return api.StoragePlugin{}, err
	}
	return n.describePlugin(), nil
}

func (n *Node) describePlugin() api.StoragePlugin {
	info := n.cfg.Plugin.Info()
	capabilities := n.cfg.Storage.Capabilities()
	limits := capabilities.Limits
	described := api.StoragePlugin{
		Type: n.cfg.StorageType, Name: info.Name, Version: info.Version, SDK: info.SDK, Protocol: info.Protocol,
		Capabilities: api.PluginAbility{
			HA: n.cfg.Storage.HA(), HADisabled: capabilities.HADisabled, LastWill: info.LastWill,
			MaxKeyBytes: limits.MaxKeyBytes, MaxValueBytes: limits.MaxValueBytes,
			MaxOps: limits.MaxOps, MaxBatchBytes: limits.MaxBatchBytes,
		},
		Path: info.Path, SHA256: info.SHA256, PID: info.PID, Running: !info.Started.IsZero(),
		StartTime: info.Started.UTC(), Restarts: info.Restarts, LastRestartTime: info.LastRestart.UTC(),
		Reloads: info.Reloads, LastReloadTime: info.LastReload.UTC(),
	}
	if described.Running {
		described.UptimeSeconds = int64(time.Since(info.Started).Seconds())
	}
	if info.LastError != nil {
		described.LastError = info.LastError.Error()
	}
	return described
}
