package compat

import (
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"testing"

	"github.com/hashicorp/vault/api"

	"github.com/holdfast/holdfast/test/harness"
)

func testKVv1(t *testing.T, c *harness.Cluster) {
	ctx, client := t.Context(), c.Standbys()[0].Client(c.RootToken)
	kv := client.KVv1("one")
	if _, err := kv.Get(ctx, "nothing"); !errors.Is(err, api.ErrSecretNotFound) {
		t.Errorf("read what was never written: got %v, want not found", err)
	}
	data := map[string]any{"text": "ä <&> %", "list": []any{"a", "b"}, "object": map[string]any{"x": nil}, "yes": true}
	if err := kv.Put(ctx, "list/a/b", data); err != nil {
		t.Fatal(err)
	}
	got, err := kv.Get(ctx, "list/a/b")
	checkData(t, "read back", got, err, data)
	if err := kv.Put(ctx, "list/a", map[string]any{"k": "v"}); err != nil { // a key with children
		t.Fatal(err)
	}
	checkList(t, client, "one/list", "a", "a/")
	checkList(t, client, "one/list/a", "b")
	for _, path := range []string{"list/a/b", "list/a", "list/a"} { // the last one is not there any more
		if err := kv.Delete(ctx, path); err != nil {
			t.Errorf("delete %s: %v", path, err)
		}
	}
	checkList(t, client, "one/list")
}

func testKVv2(t *testing.T, c *harness.Cluster) {
	ctx, client := t.Context(), c.Standbys()[0].Client(c.RootToken)
	kv := client.KVv2("two")
	if _, err := kv.Get(ctx, "nothing"); !errors.Is(err, api.ErrSecretNotFound) {
		t.Errorf("read what was never written: got %v, want not found", err)
	}
	const path = "plain/a"
	for i := range 3 {
		put, err := kv.Put(ctx, path, map[string]any{"n": fmt.Sprint(i + 1)}, api.WithCheckAndSet(i))
		if err != nil {
			t.Fatal(err)
		}
		if put.VersionMetadata.Version != i+1 || put.VersionMetadata.CreatedTime.IsZero() {
			t.Errorf("put answers %+v, want version %d and a time", put.VersionMetadata, i+1)
		}
	}
	_, err := kv.Put(ctx, path, map[string]any{"n": "late"}, api.WithCheckAndSet(2))
	wantError(t, "put with an old version", err, http.StatusBadRequest, "check-and-set parameter did not match the current version")
	got, err := kv.Get(ctx, path)
	checkData(t, "newest", got, err, map[string]any{"n": "3"})
	got, err = kv.GetVersion(ctx, path, 1)
	checkData(t, "version 1", got, err, map[string]any{"n": "1"})
	if _, err := kv.GetVersion(ctx, path, 9); !errors.Is(err, api.ErrSecretNotFound) {
		t.Errorf("read a version that never was: got %v, want not found", err)
	}
	if _, err := kv.Patch(ctx, path, map[string]any{"more": "4"}); err != nil {
		t.Fatalf("patch: %v", err)
	}
	got, err = kv.Get(ctx, path)
	checkData(t, "patched", got, err, map[string]any{"n": "3", "more": "4"})
	if _, err := kv.Rollback(ctx, path, 2); err != nil {
		t.Fatalf("roll back: %v", err)
	}
	got, err = kv.Get(ctx, path)
	checkData(t, "rolled back", got, err, map[string]any{"n": "2"})
	checkList(t, client, "two/metadata/plain", "a")
}

// testKVv2Versions deletes, undeletes and destroys.
func testKVv2Versions(t *testing.T, c *harness.Cluster) {
	ctx, kv := t.Context(), c.Standbys()[0].Client(c.RootToken).KVv2("two")
	const path = "versions/a"
	for i := range 3 {
		if _, err := kv.Put(ctx, path, map[string]any{"n": fmt.Sprint(i + 1)}); err != nil {
			t.Fatal(err)
		}
	}
	checkVersion := func(n int, readable, destroyed bool) {
		t.Helper()
		got, err := kv.GetVersion(ctx, path, n)
		if err != nil {
			t.Fatalf("read version %d: %v", n, err)
		}
		if (got.Data != nil) != readable || got.VersionMetadata.Destroyed != destroyed {
			t.Errorf("version %d: data %v, metadata %+v; want readable: %v, destroyed: %v",
				n, got.Data, got.VersionMetadata, readable, destroyed)
		}
		if !destroyed && got.VersionMetadata.DeletionTime.IsZero() != readable {
			t.Errorf("version %d: deletion time %v; want one: %v", n, got.VersionMetadata.DeletionTime, !readable)
		}
	}
	do := func(what string, err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	do("delete the newest", kv.Delete(ctx, path))
	checkVersion(3, false, false)
	do("delete 1 and 2", kv.DeleteVersions(ctx, path, []int{1, 2}))
	checkVersion(1, false, false)
	do("undelete 1 and 3", kv.Undelete(ctx, path, []int{1, 3}))
	checkVersion(1, true, false)
	checkVersion(2, false, false)
	checkVersion(3, true, false)
	do("destroy 1", kv.Destroy(ctx, path, []int{1}))
	checkVersion(1, false, true)
	do("undelete what is destroyed", kv.Undelete(ctx, path, []int{1}))
	checkVersion(1, false, true)
	list, err := kv.GetVersionsAsList(ctx, path)
	if err != nil || len(list) != 3 || !list[0].Destroyed || list[1].DeletionTime.IsZero() || !list[2].DeletionTime.IsZero() {
		t.Errorf("versions: got %+v, %v; want 1 destroyed, 2 deleted, 3 readable", list, err)
	}
}

func testKVv2Metadata(t *testing.T, c *harness.Cluster) {
	ctx, kv := t.Context(), c.Standbys()[0].Client(c.RootToken).KVv2("two")
	const path = "metadata/a"
	custom := map[string]any{"owner": "team-a"}
	err := kv.PutMetadata(ctx, path, api.KVMetadataPutInput{MaxVersions: 2, CASRequired: true, CustomMetadata: custom})
	if err != nil {
		t.Fatal(err)
	}
	_, err = kv.Put(ctx, path, map[string]any{"n": "1"})
	wantError(t, "put without a version", err, http.StatusBadRequest, "check-and-set parameter required for this call")
	for i := range 3 {
		if _, err := kv.Put(ctx, path, map[string]any{"n": fmt.Sprint(i + 1)}, api.WithCheckAndSet(i)); err != nil {
			t.Fatal(err)
		}
	}
	m, err := kv.GetMetadata(ctx, path)
	if err != nil {
		t.Fatal(err)
	}
	if m.CurrentVersion != 3 || m.OldestVersion != 2 || m.MaxVersions != 2 || !m.CASRequired || len(m.Versions) != 2 ||
		!reflect.DeepEqual(m.CustomMetadata, custom) {
		t.Errorf("metadata after three writes with two versions kept: %+v", m)
	}
	more, no := map[string]any{"rotated": "yes"}, false
	if err := kv.PatchMetadata(ctx, path, api.KVMetadataPatchInput{CASRequired: &no, CustomMetadata: more}); err != nil {
		t.Fatalf("patch metadata: %v", err)
	}
	got, err := kv.Get(ctx, path)
	checkData(t, "read with metadata", got, err, map[string]any{"n": "3"})
	if want := map[string]any{"owner": "team-a", "rotated": "yes"}; err == nil && !reflect.DeepEqual(got.CustomMetadata, want) {
		t.Errorf("custom metadata: got %v, want %v", got.CustomMetadata, want)
	}
	if err := kv.DeleteMetadata(ctx, path); err != nil {
		t.Fatalf("purge: %v", err)
	}
	if _, err := kv.GetMetadata(ctx, path); !errors.Is(err, api.ErrSecretNotFound) {
		t.Errorf("metadata of what was purged: got %v, want not found", err)
	}
	if _, err := kv.Get(ctx, path); !errors.Is(err, api.ErrSecretNotFound) {
		t.Errorf("read what was purged: got %v, want not found", err)
	}
}

func checkList(t *testing.T, client *api.Client, path string, want ...string) {
	t.Helper()
	secret, err := client.Logical().ListWithContext(t.Context(), path)
	if err != nil {
		t.Errorf("list %s: %v", path, err)
		return
	}
	var got []string
	if secret != nil {
		for _, name := range secret.Data["keys"].([]any) {
			got = append(got, fmt.Sprint(name))
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("list %s: got %q, want %q", path, got, want)
	}
}
