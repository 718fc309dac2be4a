package api_test

import (
	"errors"
	"testing"
	"time"

	vault "github.com/hashicorp/vault/api"

	"github.com/holdfast/holdfast/host/api"
)

// client is Vault's own Go client, unmodified.
func (f *fixture) client() *vault.Client {
	f.Helper()
	config := vault.DefaultConfig()
	config.Address = f.server.URL
	config.MaxRetries = 0
	c, err := vault.NewClient(config)
	if err != nil {
		f.Fatal(err)
	}
	c.SetToken(f.token)
	return c
}

func TestVaultClientSystem(t *testing.T) {
	f := newFixture(t)
	sys := f.client().Sys()
	if health, err := sys.Health(); err != nil || !health.Initialized || health.Sealed || health.Standby || health.ClusterID != "id" {
		t.Errorf("health = %+v, %v", health, err)
	}
	leader, err := sys.Leader()
	if err != nil || !leader.HAEnabled || !leader.IsSelf || leader.LeaderAddress != "http://active:8200" ||
		!leader.ActiveTime.Equal(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)) {
		t.Errorf("leader = %+v, %v", leader, err)
	}
	if status, err := sys.SealStatus(); err != nil || status.Sealed || status.T != 3 || status.N != 5 || status.StorageType != "inmem" {
		t.Errorf("seal status = %+v, %v", status, err)
	}
	ha, err := sys.HAStatus()
	if err != nil || len(ha.Nodes) != 2 || ha.Nodes[0].Hostname != "a" || !ha.Nodes[0].ActiveNode ||
		ha.Nodes[0].LastEcho != nil || ha.Nodes[1].LastEcho == nil {
		t.Errorf("ha status = %+v, %v", ha, err)
	}
	if err := sys.StepDown(); err != nil || <-f.stepped != "" {
		t.Errorf("step down: %v", err)
	}
	if self, err := f.client().Auth().Token().LookupSelf(); err != nil || self.Data["id"] != f.token {
		t.Errorf("lookup-self = %+v, %v", self, err)
	}
	f.node.setStatus(func(s *api.Status) { s.Role, s.ActiveSince = api.RoleStandby, time.Time{} })
	if health, err := sys.Health(); err != nil || !health.Standby {
		t.Errorf("health of a standby = %+v, %v", health, err)
	}
	if err := sys.Seal(); err != nil {
		t.Error(err)
	}
}

func TestVaultClientMounts(t *testing.T) {
	f := newFixture(t)
	sys := f.client().Sys()
	for path, version := range map[string]string{"v1": "1", "v2": "2"} {
		input := &vault.MountInput{Type: "kv", Description: path, Options: map[string]string{"version": version}}
		if err := sys.Mount(path, input); err != nil {
			t.Fatal(err)
		}
	}
	mounts, err := sys.ListMounts()
	if err != nil || len(mounts) != 2 || mounts["v2/"].Options["version"] != "2" || mounts["v1/"].Description != "v1" {
		t.Errorf("mounts = %+v, %v", mounts, err)
	}
	//nolint:staticcheck // deprecated, but existing programs call it: unlike its successor it sends empty values
	if err := sys.TuneMount("v1", vault.MountConfigInput{MaxLeaseTTL: "2h"}); err != nil {
		t.Error(err)
	}
	if config, err := sys.MountConfig("v1"); err != nil || config.MaxLeaseTTL != 7200 {
		t.Errorf("config = %+v, %v", config, err)
	}
	if err := sys.Unmount("v1"); err != nil {
		t.Error(err)
	}
	if mounts, err := sys.ListMounts(); err != nil || len(mounts) != 1 {
		t.Errorf("mounts after unmount = %+v, %v", mounts, err)
	}
}

func TestVaultClientKV(t *testing.T) {
	f := newFixture(t)
	f.ok(204, "POST", "/v1/sys/mounts/v1", `{"type":"kv"}`)
	f.ok(204, "POST", "/v1/sys/mounts/v2", `{"type":"kv-v2"}`)
	c := f.client()
	data := map[string]any{"password": "x"}
	v1 := c.KVv1("v1")
	if err := v1.Put(t.Context(), "a/b", data); err != nil {
		t.Fatal(err)
	}
	if got, err := v1.Get(t.Context(), "a/b"); err != nil || got.Data["password"] != "x" {
		t.Errorf("v1 get = %+v, %v", got, err)
	}
	if err := v1.Delete(t.Context(), "a/b"); err != nil {
		t.Error(err)
	}
	if _, err := v1.Get(t.Context(), "a/b"); !errors.Is(err, vault.ErrSecretNotFound) {
		t.Errorf("v1 get of a deleted path: %v", err)
	}

	v2 := c.KVv2("v2")
	if _, err := v2.Put(t.Context(), "a/b", data, vault.WithCheckAndSet(0)); err != nil {
		t.Fatal(err)
	}
	if _, err := v2.Put(t.Context(), "a/b", data, vault.WithCheckAndSet(0)); err == nil {
		t.Error("the second write with check-and-set 0 succeeded")
	}
	patched, err := v2.Patch(t.Context(), "a/b", map[string]any{"user": "y"})
	if err != nil || patched.VersionMetadata.Version != 2 {
		t.Errorf("patch = %+v, %v", patched, err)
	}
	if got, err := v2.Get(t.Context(), "a/b"); err != nil || got.Data["password"] != "x" || got.Data["user"] != "y" {
		t.Errorf("get = %+v, %v", got, err)
	}
	if got, err := v2.GetVersion(t.Context(), "a/b", 1); err != nil || got.Data["user"] != nil {
		t.Errorf("get of version 1 = %+v, %v", got, err)
	}
	if err := v2.DeleteVersions(t.Context(), "a/b", []int{2}); err != nil {
		t.Error(err)
	}
	if got, err := v2.Get(t.Context(), "a/b"); err != nil || got.Data != nil || got.VersionMetadata.DeletionTime.IsZero() {
		t.Errorf("get of a deleted version = %+v, %v", got, err)
	}
	if err := v2.Undelete(t.Context(), "a/b", []int{2}); err != nil {
		t.Error(err)
	}
	if back, err := v2.Rollback(t.Context(), "a/b", 1); err != nil || back.VersionMetadata.Version != 3 {
		t.Errorf("rollback = %+v, %v", back, err)
	}
	if err := v2.PutMetadata(t.Context(), "a/b", vault.KVMetadataPutInput{MaxVersions: 4, DeleteVersionAfter: time.Hour}); err != nil {
		t.Error(err)
	}
	if meta, err := v2.GetMetadata(t.Context(), "a/b"); err != nil || meta.CurrentVersion != 3 || meta.MaxVersions != 4 ||
		meta.DeleteVersionAfter != time.Hour || len(meta.Versions) != 3 {
		t.Errorf("metadata = %+v, %v", meta, err)
	}
	if versions, err := v2.GetVersionsAsList(t.Context(), "a/b"); err != nil || len(versions) != 3 {
		t.Errorf("versions = %+v, %v", versions, err)
	}
	if keys, err := c.Logical().List("v2/metadata/a"); err != nil || keys == nil || len(keys.Data["keys"].([]any)) != 1 {
		t.Errorf("list = %+v, %v", keys, err)
	}
	if err := v2.DeleteMetadata(t.Context(), "a/b"); err != nil {
		t.Error(err)
	}
	if _, err := v2.Get(t.Context(), "a/b"); !errors.Is(err, vault.ErrSecretNotFound) {
		t.Errorf("get of a purged path: %v", err)
	}
}
