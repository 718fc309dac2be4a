package node

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/holdfast/holdfast/host/api"
	"github.com/holdfast/holdfast/host/barrier"
	"github.com/holdfast/holdfast/host/internal/fakestorage"
	"github.com/holdfast/holdfast/host/plugin"
	"github.com/holdfast/holdfast/sdk/storage"
)

// fakePlugin is a storage plugin that can be asked for.
type fakePlugin struct {
	info    plugin.Info
	witness string // of the last Reload
	err     error  // of Reload
}

func (p *fakePlugin) Info() plugin.Info { return p.info }

func (p *fakePlugin) Reload(_ context.Context, witness string) error {
	p.witness = witness
	p.info.Reloads++
	return p.err
}

// Every unsealed node tells of its own plugin, whichever node is active.
func TestStoragePluginOfEachNode(t *testing.T) {
	c := newActive(t, 2)
	for i, n := range c.nodes {
		p := &fakePlugin{info: plugin.Info{
			Name: "fake", PID: 100 + i, Started: time.Now().Add(-time.Minute), LastWill: true, LastError: errors.New("it fell over"),
		}}
		n.cfg.Plugin = p
		got, err := n.StoragePlugin(t.Context(), rootToken)
		if err != nil {
			t.Fatal(err)
		}
		if got.Type != "fake" || got.PID != 100+i || !got.Running || got.UptimeSeconds < 60 || got.LastError != "it fell over" ||
			!got.Capabilities.HA || !got.Capabilities.LastWill || got.Capabilities.MaxOps == 0 || !got.LastRestartTime.IsZero() {
			t.Errorf("got %+v", got)
		}
		if got, err = n.ReloadPlugin(t.Context(), rootToken); err != nil || got.Reloads != 1 || p.witness != "hf/seal" {
			t.Errorf("reload: %+v, %v; compared %q", got, err, p.witness)
		}
		p.err = plugin.ErrNotReloaded
		if _, err := n.ReloadPlugin(t.Context(), rootToken); !errors.Is(err, plugin.ErrNotReloaded) {
			t.Errorf("got %v, want ErrNotReloaded", err)
		}
		for name, call := range map[string]func(context.Context, string) (api.StoragePlugin, error){
			"describe": n.StoragePlugin, "reload": n.ReloadPlugin,
		} {
			if _, err := call(t.Context(), "hvs.guess"); !errors.Is(err, api.ErrPermission) {
				t.Errorf("%s with another token: %v, want ErrPermission", name, err)
			}
		}
		if p.info.Reloads != 2 {
			t.Errorf("%d reloads, want 2", p.info.Reloads)
		}
	}
	// A plugin that does not work can not confirm the token. One that it has confirmed before may look,
	// and do nothing.
	standby := c.nodes[1]
	standby.conn.FailAll(fakestorage.Refuse)
	if got, err := standby.StoragePlugin(t.Context(), rootToken); err != nil || got.PID != 101 {
		t.Errorf("got %+v, %v", got, err)
	}
	if _, err := standby.StoragePlugin(t.Context(), "hvs.guess"); !errors.Is(err, storage.ErrUnavailable) {
		t.Errorf("another token: %v, want ErrUnavailable", err)
	}
	if _, err := standby.ReloadPlugin(t.Context(), rootToken); !errors.Is(err, storage.ErrUnavailable) {
		t.Errorf("reload: %v, want ErrUnavailable", err)
	}
	standby.conn.Heal()
	if err := standby.Seal(t.Context(), rootToken); err != nil {
		t.Fatal(err)
	}
	if _, err := standby.ReloadPlugin(t.Context(), rootToken); !errors.Is(err, barrier.ErrSealed) {
		t.Errorf("sealed: %v, want ErrSealed", err)
	}
}
