package api_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/holdfast/holdfast/host/api"
	"github.com/holdfast/holdfast/host/barrier"
	"github.com/holdfast/holdfast/host/ha"
	"github.com/holdfast/holdfast/host/store"
	"github.com/holdfast/holdfast/sdk/storage"
)

var _ api.Store = (*store.Store)(nil)

func TestKVV1(t *testing.T) {
	f := newFixture(t)
	f.ok(204, "POST", "/v1/sys/mounts/old/", `{"type":"kv"}`)
	f.ok(204, "PUT", "/v1/old/a/b", `{"n": 12345678901234567890.10, "t": "<&>"}`)
	got := f.ok(200, "GET", "/v1/old/a/b", "")
	if !strings.Contains(got.body, `"data":{"n":12345678901234567890.10,"t":"<&>"}`) || got.at("lease_duration") != 2764800.0 {
		t.Errorf("read = %s", got.body)
	}
	for _, name := range []string{"request_id", "lease_id", "renewable", "wrap_info", "warnings", "auth"} {
		if _, ok := got.json[name]; !ok {
			t.Errorf("the envelope has no %s: %s", name, got.body)
		}
	}
	for _, list := range [][2]string{{"GET", "/v1/old/a?list=true"}, {"LIST", "/v1/old/a"}, {"LIST", "/v1/old/a/"}} {
		if got := f.ok(200, list[0], list[1], ""); !strings.Contains(got.body, `"data":{"keys":["b"]}`) {
			t.Errorf("%s %s = %s", list[0], list[1], got.body)
		}
	}
	f.ok(204, "DELETE", "/v1/old/a/b", "")
	for _, read := range [][2]string{{"GET", "/v1/old/a/b"}, {"LIST", "/v1/old/a"}} {
		if got := f.ok(404, read[0], read[1], ""); got.body != `{"errors":[]}` {
			t.Errorf("%s %s = %s", read[0], read[1], got.body)
		}
	}
	if got := f.ok(404, "HEAD", "/v1/old/a/b", ""); got.body != "" {
		t.Errorf("HEAD has a body: %s", got.body)
	}
}

func TestKVV2(t *testing.T) {
	f := newFixture(t)
	f.ok(204, "POST", "/v1/sys/mounts/secret", `{"type":"kv","options":{"version":"2"}}`)
	const data, meta = "/v1/secret/data/a/b", "/v1/secret/metadata/a/b"
	got := f.ok(200, "POST", data, `{"data":{"n":1.10},"options":{"cas":"0"}}`)
	if got.at("data.version") != 1.0 || got.at("data.deletion_time") != "" || got.at("data.destroyed") != false {
		t.Errorf("write = %s", got.body)
	}
	got = f.ok(200, "PATCH", data, `{"data":{"m":2},"options":{"cas":1}}`, "Content-Type", "application/merge-patch+json; charset=utf-8")
	if got.at("data.version") != 2.0 {
		t.Errorf("patch = %s", got.body)
	}
	if got = f.ok(200, "GET", data+"?version=0", ""); !strings.Contains(got.body, `{"m":2,"n":1.10}`) {
		t.Errorf("read = %s", got.body)
	}
	f.ok(204, "DELETE", data, "")
	got = f.ok(404, "GET", data, "")
	if got.at("data.data") != nil || got.at("data.metadata.version") != 2.0 || got.at("data.metadata.deletion_time") == "" {
		t.Errorf("read of a deleted version = %s", got.body)
	}
	f.ok(204, "PUT", "/v1/secret/undelete/a/b", `{"versions":["2"]}`)
	f.ok(200, "GET", data, "")
	f.ok(204, "PUT", "/v1/secret/delete/a/b", `{"versions":[2]}`)
	f.ok(200, "GET", data+"?version=1", "")
	f.ok(204, "PUT", "/v1/secret/destroy/a/b", `{"versions":"1,2"}`)
	if got = f.ok(404, "GET", data+"?version=1", ""); got.at("data.metadata.destroyed") != true {
		t.Errorf("read of a destroyed version = %s", got.body)
	}
	f.ok(204, "POST", meta, `{"max_versions":5,"delete_version_after":"3h25m","custom_metadata":{"owner":"x"}}`)
	f.ok(204, "PATCH", meta, `{"custom_metadata":{"more":"y"}}`, "Content-Type", "application/merge-patch+json")
	got = f.ok(200, "GET", meta, "")
	if got.at("data.current_version") != 2.0 || got.at("data.versions.2.destroyed") != true || got.at("data.max_versions") != 5.0 ||
		got.at("data.delete_version_after") != "3h25m0s" || got.at("data.custom_metadata.owner") != "x" ||
		got.at("data.custom_metadata.more") != "y" || got.at("data.oldest_version") != 0.0 {
		t.Errorf("metadata = %s", got.body)
	}
	if got = f.ok(200, "LIST", "/v1/secret/metadata/a", ""); !strings.Contains(got.body, `["b"]`) {
		t.Errorf("list = %s", got.body)
	}
	f.ok(204, "DELETE", meta, "")
	if got = f.ok(404, "GET", data, ""); got.body != `{"errors":[]}` {
		t.Errorf("read of a purged path = %s", got.body)
	}
	f.ok(204, "PUT", "/v1/secret/config", `{"max_versions":3,"cas_required":true,"delete_version_after":90}`)
	got = f.ok(200, "GET", "/v1/secret/config", "")
	if got.at("data.max_versions") != 3.0 || got.at("data.cas_required") != true || got.at("data.delete_version_after") != "1m30s" {
		t.Errorf("config = %s", got.body)
	}
}

func TestSystemEndpoints(t *testing.T) {
	f := newFixture(t)
	f.ok(204, "POST", "/v1/sys/mounts/secret", `{"type":"kv-v2","description":"d","config":{"max_lease_ttl":"1h"}}`)
	got := f.ok(200, "GET", "/v1/sys/mounts", "")
	entry, _ := got.json["secret/"].(map[string]any)
	if entry == nil || entry["type"] != "kv" || fmt.Sprint(entry["options"]) != "map[version:2]" || got.at("data.secret/.description") != "d" {
		t.Errorf("mounts = %s", got.body)
	}
	f.ok(204, "POST", "/v1/sys/mounts/secret/tune", `{"description":"e","default_lease_ttl":"30m"}`)
	got = f.ok(200, "GET", "/v1/sys/mounts/secret/tune", "")
	if got.at("data.default_lease_ttl") != 1800.0 || got.at("data.max_lease_ttl") != 3600.0 || got.at("data.description") != "e" {
		t.Errorf("tune = %s", got.body)
	}
	got = f.ok(200, "GET", "/v1/sys/internal/ui/mounts/secret/a/b", "")
	if got.at("data.path") != "secret/" || got.at("data.options.version") != "2" {
		t.Errorf("preflight = %s", got.body)
	}
	if got = f.ok(403, "GET", "/v1/sys/internal/ui/mounts/nope/a", ""); !strings.Contains(got.body, `access to path \"nope/a/\"`) {
		t.Errorf("preflight of nothing = %s", got.body)
	}
	got = f.ok(200, "GET", "/v1/sys/internal/ui/mounts", "")
	if got.at("data.secret.secret/.type") != "kv" || got.at("data.auth.token/.type") != "token" {
		t.Errorf("preflight of all = %s", got.body)
	}
	if got = f.ok(200, "GET", "/v1/sys/auth", ""); got.at("data.token/.type") != "token" || got.json["token/"] == nil {
		t.Errorf("auth = %s", got.body)
	}
	if got = f.ok(200, "POST", "/v1/sys/capabilities-self", `{"paths":["secret/a"]}`); fmt.Sprint(got.at("data.capabilities")) != "[root]" {
		t.Errorf("capabilities = %s", got.body)
	}
	f.ok(204, "PUT", "/v1/sys/step-down", `{"target":"b"}`)
	if target := <-f.stepped; target != "b" {
		t.Errorf("stepped down to %q, want b", target)
	}
	f.ok(204, "PUT", "/v1/sys/step-down", "null\n") // what Vault's client sends for no data
	if target := <-f.stepped; target != "" {
		t.Errorf("stepped down to %q, want anyone", target)
	}
}

func TestTokenLookup(t *testing.T) {
	f := newFixture(t)
	for _, got := range []result{
		f.ok(200, "GET", "/v1/auth/token/lookup-self", ""),
		f.ok(200, "GET", "/v1/auth/token/lookup-self", "", "X-Vault-Token", "", "Authorization", "Bearer "+f.token),
		f.ok(200, "POST", "/v1/auth/token/lookup", `{"token":"`+f.token+`"}`),
	} {
		if got.at("data.id") != f.token || fmt.Sprint(got.at("data.policies")) != "[root]" || got.at("data.ttl") != 0.0 ||
			got.at("data.creation_time") != 1.7e9 || got.at("data.expire_time") != nil || got.at("data.type") != "service" {
			t.Errorf("lookup = %s", got.body)
		}
	}
	if got := f.ok(403, "POST", "/v1/auth/token/lookup", `{"token":"x"}`); !strings.Contains(got.body, "bad token") {
		t.Errorf("lookup of a bad token = %s", got.body)
	}
}

// P2: whatever an answer says about the data, the node was active after it was read.
func TestAnswersAreConfirmed(t *testing.T) {
	f := newFixture(t)
	f.ok(204, "POST", "/v1/sys/mounts/old", `{"type":"kv"}`)
	f.ok(204, "POST", "/v1/sys/mounts/secret", `{"type":"kv-v2"}`)
	f.ok(204, "PUT", "/v1/old/a", `{"x":"1"}`)
	requests := [][3]string{
		{"GET", "/v1/old/a", ""},
		{"GET", "/v1/old/none", ""},
		{"LIST", "/v1/old/", ""},
		{"GET", "/v1/secret/data/none", ""},
		{"GET", "/v1/sys/mounts", ""},
		{"GET", "/v1/sys/ha-status", ""},
		{"GET", "/v1/auth/token/lookup-self", ""},
		{"PUT", "/v1/secret/data/a", `{"data":{},"options":{"cas":9}}`},
		{"PUT", "/v1/old/a", ""},
		{"DELETE", "/v1/sys/mounts/none", ""},
		{"POST", "/v1/sys/capabilities-self", `{"paths":["x"]}`},
		{"GET", "/v1/nope", ""},
	}
	for _, r := range requests {
		before := f.store.Confirms()
		f.do(r[0], r[1], r[2])
		if f.store.Confirms() == before {
			t.Errorf("%s %s was answered without a confirmation", r[0], r[1])
		}
	}
	f.do("GET", "/v1/old/a", "", "X-Vault-Token", "wrong")
	f.store.Fault = func(op, _ string) error {
		if op == "confirm" {
			return store.ErrNotActive
		}
		return nil
	}
	for _, r := range append(requests, [3]string{"GET", "/v1/old/a", "wrong token"}) {
		headers := []string{}
		if r[2] == "wrong token" {
			r[2], headers = "", []string{"X-Vault-Token", "wrong"}
		}
		got := f.ok(503, r[0], r[1], r[2], headers...)
		if got.header.Get("Retry-After") != "1" {
			t.Errorf("%s %s: 503 without Retry-After", r[0], r[1])
		}
	}
	f.ok(204, "PUT", "/v1/old/b", `{}`) // its Commit has confirmed it
}

// P2: that data is missing is said only by a node that was active after it had looked. To
// one that was replaced meanwhile, what its successor deletes seems to be lost.
func TestDamageIsConfirmed(t *testing.T) {
	f := newFixture(t)
	f.ok(204, "POST", "/v1/sys/mounts/secret", `{"type":"kv-v2"}`)
	f.ok(200, "PUT", "/v1/secret/data/a", `{"data":{"x":"1"}}`)
	for _, key := range f.store.Keys("") {
		if strings.Contains(key, "/data/a") {
			ctx, err := f.store.Begin(t.Context())
			if err == nil {
				err = f.store.Delete(ctx, key)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	const header, value = "Content-Type", "application/merge-patch+json"
	f.ok(500, "GET", "/v1/secret/data/a", "")
	f.ok(500, "PATCH", "/v1/secret/data/a", `{"data":{"y":"2"}}`, header, value)
	f.store.Fault = func(op, _ string) error {
		if op == "confirm" {
			return store.ErrNotActive
		}
		return nil
	}
	f.ok(503, "GET", "/v1/secret/data/a", "")
	f.ok(504, "PATCH", "/v1/secret/data/a", `{"data":{"y":"2"}}`, header, value)
}

func TestErrorsOfTheStore(t *testing.T) {
	for _, tc := range []struct {
		name   string
		err    error
		status int
		want   string
		retry  string
	}{
		{"unknown", store.ErrOutcomeUnknown, 504, "outcome unknown", ""},
		{"unknown because cut off", fmt.Errorf("%w: %w", store.ErrOutcomeUnknown, storage.ErrUnavailable), 504, "outcome unknown", ""},
		{"under way", fmt.Errorf("step down: %w: %w", ha.ErrUnconfirmed, context.DeadlineExceeded), 504, "outcome unknown", ""},
		{"not yet", ha.ErrNotYet, 503, "yet", "1"},
		{"not active", store.ErrNotActive, 503, "not active", "1"},
		{"unavailable", storage.NotApplied(storage.ErrUnavailable), 503, "unavailable", "1"},
		{"too large", &storage.TooLargeError{What: "value", Unit: "bytes", Size: 9, Limit: 5}, 413, "the limit is 5", ""},
		{"key", fmt.Errorf("%w: long", storage.ErrInvalidKey), 400, "invalid key", ""},
		{"damaged", fmt.Errorf("read: %w", &barrier.OpenError{Path: "hf/kv/x", Reason: "it was altered"}), 500, "it was altered", ""},
		{"key term damaged", fmt.Errorf("open the value at %q: %w", "hf/kv/x", barrier.ErrUnknownTerm), 500, "hf/kv/x", ""},
		{"deadline", context.DeadlineExceeded, 503, "deadline", "1"},
		{"surprise", errors.New("secret detail"), 500, "internal error", ""},
	} {
		for _, method := range []string{"PUT", "GET"} {
			f := newFixture(t)
			f.ok(204, "POST", "/v1/sys/mounts/old", `{"type":"kv"}`)
			f.store.Fault = func(op, key string) error {
				if op != "confirm" && strings.Contains(key, "/data/") {
					return tc.err
				}
				return nil
			}
			got := f.ok(tc.status, method, "/v1/old/a", `{"x":"1"}`)
			if !strings.Contains(got.body, tc.want) || got.header.Get("Retry-After") != tc.retry || strings.Contains(got.body, "detail") {
				t.Errorf("%s, %s: %s, Retry-After %q", tc.name, method, got.body, got.header.Get("Retry-After"))
			}
		}
	}
}

func TestSixtyFourCheckAndSetWriters(t *testing.T) {
	f := newFixture(t)
	f.ok(204, "POST", "/v1/sys/mounts/secret", `{"type":"kv-v2"}`)
	const writers, versions = 64, 20
	var mu sync.Mutex
	wins := map[int]int{}
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			for n := range versions {
				resp := f.logical.Handle(t.Context(), &api.Request{
					Method: http.MethodPost, Path: "secret/data/a", Token: f.token,
					Body: fmt.Appendf(nil, `{"data":{"n":%d},"options":{"cas":%d}}`, n, n),
				})
				switch {
				case resp.Status == http.StatusOK:
					mu.Lock()
					wins[n]++
					mu.Unlock()
				case resp.Status != http.StatusBadRequest || !strings.Contains(string(resp.Body), "did not match"):
					t.Errorf("writer of version %d: %d %s", n+1, resp.Status, resp.Body)
				}
			}
		})
	}
	wg.Wait()
	for n := range versions {
		if wins[n] != 1 {
			t.Errorf("%d writers made version %d, want 1", wins[n], n+1)
		}
	}
}
