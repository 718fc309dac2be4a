package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/vault/api"

	"github.com/holdfast/holdfast/test/harness"
)

// badRequest is a request that is refused, and how.
type badRequest struct {
	name           string
	method, target string
	body           string
	token          string // "" for the root token, "-" for none
	headers        []string
	status         int
	says           string // in the one error; "" for an empty list of errors
}

// check sends the request. An answer that refuses is always {"errors": [...]}, never
// shows what the client sent as a token or value, and leaves the server working.
func (r badRequest) check(t *testing.T, address, rootToken string) {
	t.Helper()
	headers := r.headers
	switch r.token {
	case "":
		headers = append(slices.Clone(headers), "X-Vault-Token: "+rootToken)
	case "-":
	default:
		headers = append(slices.Clone(headers), "X-Vault-Token: "+r.token)
	}
	got := rawRequest(t, address, r.method, r.target, r.body, headers...)
	if got.status != r.status {
		t.Errorf("status %d, want %d; the body is %q", got.status, r.status, got.body)
	}
	if r.method == http.MethodHead {
		return
	}
	var answer struct {
		Errors []string `json:"errors"`
	}
	decoder := json.NewDecoder(strings.NewReader(got.body))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&answer); err != nil || answer.Errors == nil {
		t.Fatalf(`the body is %q, want {"errors":[...]} (%v)`, got.body, err)
	}
	switch {
	case r.says == "" && len(answer.Errors) > 0:
		t.Errorf("errors %q, want none", answer.Errors)
	case r.says != "" && (len(answer.Errors) != 1 || !strings.Contains(answer.Errors[0], r.says)):
		t.Errorf("errors %q, want one with %q", answer.Errors, r.says)
	}
	if strings.Contains(got.body, "hunter2") {
		t.Errorf("the answer shows what should not be seen: %q", got.body)
	}
	if want := "application/json"; got.header.Get("Content-Type") != want {
		t.Errorf("content type %q, want %q", got.header.Get("Content-Type"), want)
	}
}

// oneMiB is the default limit of a request body.
const oneMiB = 1 << 20

// jsonOfSize is a JSON object of exactly size bytes.
func jsonOfSize(size int) string { return `{"v":"` + strings.Repeat("x", size-8) + `"}` }

// TestBadRequests sends what must be refused to an unsealed node that has a KV mount of
// each version.
func TestBadRequests(t *testing.T) {
	c := harness.NewCluster(t, 1, `storage "inmem" {}`)
	c.Mount("v1", "1")
	c.Mount("v2", "2")
	chunked := "Transfer-Encoding: chunked"
	for _, r := range []badRequest{
		{name: "wrong token", method: "GET", target: "/v1/v1/a", token: "hunter2", status: 403, says: "permission denied"},
		{name: "missing token", method: "GET", target: "/v1/v1/a", token: "-", status: 403, says: "permission denied"},
		{name: "token of another scheme", method: "GET", target: "/v1/v1/a", token: "-", headers: []string{"Authorization: Basic hunter2"}, status: 403, says: "permission denied"},
		{name: "wrong token, nothing mounted", method: "GET", target: "/v1/none/a", token: "hunter2", status: 403, says: "permission denied"},
		{name: "wrong token to seal", method: "PUT", target: "/v1/sys/seal", token: "hunter2", status: 403, says: "permission denied"},
		{name: "wrong token to step down", method: "PUT", target: "/v1/sys/step-down", token: "hunter2", status: 403, says: "permission denied"},

		{name: "body too large", method: "POST", target: "/v1/v1/a", body: jsonOfSize(oneMiB + 1), status: 413, says: "larger than the limit of 1048576 bytes"},
		{name: "body too large, chunked", method: "POST", target: "/v1/v1/a", body: jsonOfSize(oneMiB + 1), headers: []string{chunked}, status: 413, says: "larger than the limit of 1048576 bytes"},
		{name: "body too large to unseal", method: "PUT", target: "/v1/sys/unseal", body: jsonOfSize(oneMiB + 1), status: 413, says: "larger than the limit"},
		{name: "value larger than the store takes", method: "POST", target: "/v1/v1/a", body: jsonOfSize(oneMiB), status: 413, says: "too large"},

		{name: "broken JSON", method: "POST", target: "/v1/v1/a", body: `{"v": hunter2`, status: 400, says: "not valid JSON"},
		{name: "broken JSON, chunked", method: "POST", target: "/v1/v1/a", body: `{"v": hunter2`, headers: []string{chunked}, status: 400, says: "not valid JSON"},
		{name: "two JSON values", method: "POST", target: "/v1/v1/a", body: `{}{}`, status: 400, says: "not valid JSON"},
		{name: "not UTF-8", method: "POST", target: "/v1/v1/a", body: "{\"v\":\"\xff\"}", status: 400, says: "not valid JSON"},
		{name: "JSON, but no object", method: "POST", target: "/v1/v1/a", body: `["hunter2"]`, status: 400, says: "not a JSON object"},
		{name: "JSON that nests too deep", method: "POST", target: "/v1/v1/a", body: `{"a":` + strings.Repeat("[", 100) + strings.Repeat("]", 100) + `}`, status: 400, says: "nests deeper"},
		{name: "no body", method: "POST", target: "/v1/v1/a", status: 400, says: "missing data fields"},
		{name: "no data", method: "POST", target: "/v1/v2/data/a", body: `{}`, status: 400, says: "no data provided"},
		{name: "data of the wrong type", method: "POST", target: "/v1/v2/data/a", body: `{"data": "hunter2"}`, status: 400, says: "data"},
		{name: "check-and-set of the wrong type", method: "POST", target: "/v1/v2/data/a", body: `{"data": {}, "options": {"cas": "x"}}`, status: 400, says: "whole number"},
		{name: "check-and-set that does not match", method: "POST", target: "/v1/v2/data/a", body: `{"data": {}, "options": {"cas": 7}}`, status: 400, says: "check-and-set parameter did not match the current version"},
		{name: "patch of the wrong content type", method: "PATCH", target: "/v1/v2/data/a", body: `{"data": {}}`, headers: []string{"Content-Type: application/json"}, status: 415, says: "application/merge-patch+json"},
		{name: "version that is none", method: "GET", target: "/v1/v2/data/a?version=x", status: 400, says: "version: want a whole number"},

		{name: "..", method: "GET", target: "/v1/v1/a/../b", status: 400, says: `"." or ".." segment`},
		{name: ".. to the top", method: "GET", target: "/v1/../../etc/passwd", status: 400, says: `"." or ".." segment`},
		{name: ".. at the end", method: "GET", target: "/v1/v1/a/..", status: 400, says: `"." or ".." segment`},
		{name: "encoded ..", method: "GET", target: "/v1/v1/%2e%2e/b", status: 400, says: `"." or ".." segment`},
		{name: ".", method: "PUT", target: "/v1/v1/./b", body: `{"v":1}`, status: 400, says: `"." or ".." segment`},
		{name: "two slashes", method: "GET", target: "/v1/v1//a", status: 400, says: "empty segment"},
		{name: "two slashes at the end", method: "LIST", target: "/v1/v1/a//", status: 400, says: "empty segment"},
		{name: "encoded slash", method: "GET", target: "/v1/v1/a%2Fb", status: 400, says: "encoded slash"},
		{name: "encoded slash, lower case", method: "GET", target: "/v1/v1/a%2fb", status: 400, says: "encoded slash"},
		{name: "control character", method: "PUT", target: "/v1/v1/a%0ab", body: `{"v":1}`, status: 400, says: "can not be printed"},
		{name: "NUL", method: "GET", target: "/v1/v1/a%00b", status: 400, says: "can not be printed"},
		{name: "DEL", method: "GET", target: "/v1/v1/a%7f", status: 400, says: "can not be printed"},
		{name: "path that is not UTF-8", method: "GET", target: "/v1/v1/%ff", status: 400, says: "can not be printed"},
		{name: "very long path", method: "GET", target: "/v1/v1/" + strings.Repeat("a", 4000), status: 400, says: "longer than"},
		{name: "long segment", method: "PUT", target: "/v1/v1/" + strings.Repeat("a", 1500), body: `{"v":1}`, status: 400, says: "bytes long, the most is"},

		{name: "nothing mounted", method: "GET", target: "/v1/none/a", status: 404, says: "nothing is mounted there"},
		{name: "write where nothing is mounted", method: "PUT", target: "/v1/none/a", body: `{"v":1}`, status: 404, says: "nothing is mounted there"},
		{name: "unknown system path", method: "GET", target: "/v1/sys/nonsense", status: 404, says: "sys/nonsense"},
		{name: "unknown path in a version 2 mount", method: "GET", target: "/v1/v2/a", status: 404, says: "data/"},
		{name: "not below /v1/", method: "GET", target: "/v2/secret", status: 404, says: "/v1/"},
		{name: "the root", method: "GET", target: "/", status: 404, says: "/v1/"},

		{name: "unknown method", method: "BREW", target: "/v1/v1/a", status: 405, says: "unsupported"},
		{name: "delete of a system path", method: "DELETE", target: "/v1/sys/leader", status: 405, says: "unsupported"},
		{name: "write to a read-only path", method: "PUT", target: "/v1/sys/health", body: `{}`, status: 405, says: "unsupported"},
		{name: "read of a write-only path", method: "GET", target: "/v1/sys/unseal", status: 405, says: "unsupported"},
		{name: "patch in a version 1 mount", method: "PATCH", target: "/v1/v1/a", body: `{"v":1}`, headers: []string{"Content-Type: application/merge-patch+json"}, status: 405, says: "unsupported"},
		{name: "read of versions to destroy", method: "GET", target: "/v1/v2/destroy/a", status: 405, says: "unsupported"},

		{name: "secret that is not there", method: "GET", target: "/v1/v1/absent", status: 404},
		{name: "secret that is not there, version 2", method: "GET", target: "/v1/v2/data/absent", status: 404},
		{name: "metadata that is not there", method: "GET", target: "/v1/v2/metadata/absent", status: 404},
		{name: "empty list", method: "LIST", target: "/v1/v1/absent", status: 404},
		{name: "head of a secret that is not there", method: "HEAD", target: "/v1/v1/absent", status: 404},

		{name: "unknown mount type", method: "POST", target: "/v1/sys/mounts/x", body: `{"type":"pki"}`, status: 400, says: "pki"},
		{name: "mount without a type", method: "POST", target: "/v1/sys/mounts/x", body: `{}`, status: 400, says: "type"},
		{name: "mount in the way of another", method: "POST", target: "/v1/sys/mounts/v1/below", body: `{"type":"kv"}`, status: 400, says: "v1/"},
		{name: "mount in the way of the system", method: "POST", target: "/v1/sys/mounts/sys/x", body: `{"type":"kv"}`, status: 400, says: "sys"},
		{name: "namespace", method: "GET", target: "/v1/v1/a", headers: []string{"X-Vault-Namespace: x"}, status: 400, says: "namespaces are not supported"},
		{name: "wrapped answer", method: "GET", target: "/v1/v1/a", headers: []string{"X-Vault-Wrap-TTL: 60s"}, status: 400, says: "wrapping is not supported"},
		{name: "second initialisation", method: "PUT", target: "/v1/sys/init", body: `{"secret_shares":1,"secret_threshold":1}`, status: 400, says: "already initialized"},
	} {
		t.Run(r.name, func(t *testing.T) { r.check(t, c.Nodes[0].Address, c.RootToken) })
	}
	if _, err := c.Nodes[0].Client(c.RootToken).Logical().Write("v1/after", map[string]any{"v": 1}); err != nil {
		t.Errorf("a good request after all these: %v", err)
	}
}

// TestRequestLineWithControlCharacter: such a request never reaches the API; net/http
// refuses it by itself, in plain text.
func TestRequestLineWithControlCharacter(t *testing.T) {
	n := harness.NewNode(t, "n1", `storage "inmem" {}`)
	if got := rawRequest(t, n.Address, "GET", "/v1/secret/a\x01b", ""); got.status != http.StatusBadRequest {
		t.Errorf("status %d, want 400: %s", got.status, got.body)
	}
}

// TestBadRequestsWhileSealed: a sealed node says so, and a key that is wrong or
// malformed does not stop the right ones.
func TestBadRequestsWhileSealed(t *testing.T) {
	n := harness.NewNode(t, "n1", `storage "inmem" {}`)
	other, err := harness.NewNode(t, "other", `storage "inmem" {}`).Client("").Sys().
		Init(&api.InitRequest{SecretShares: 3, SecretThreshold: 2})
	if err != nil {
		t.Fatal(err)
	}
	unseal := func(key string) string { return fmt.Sprintf(`{"key":%q}`, key) }
	check := func(requests []badRequest) {
		t.Helper()
		for _, r := range requests {
			t.Run(r.name, func(t *testing.T) { r.check(t, n.Address, "hunter2") })
		}
	}
	check([]badRequest{
		{name: "read before initialisation", method: "GET", target: "/v1/secret/a", status: 503, says: "Vault is sealed"},
		{name: "unseal before initialisation", method: "PUT", target: "/v1/sys/unseal", body: unseal(other.KeysB64[0]), status: 400, says: "not initialized"},
		{name: "no shares", method: "PUT", target: "/v1/sys/init", body: `{}`, status: 400, says: "secret_shares"},
		{name: "threshold above the shares", method: "PUT", target: "/v1/sys/init", body: `{"secret_shares":2,"secret_threshold":3}`, status: 400, says: "secret_threshold"},
		{name: "too many shares", method: "PUT", target: "/v1/sys/init", body: `{"secret_shares":1000,"secret_threshold":3}`, status: 400, says: "secret_shares"},
		{name: "keys encrypted", method: "PUT", target: "/v1/sys/init", body: `{"secret_shares":1,"secret_threshold":1,"pgp_keys":["x"]}`, status: 400, says: "PGP"},
		{name: "broken JSON", method: "PUT", target: "/v1/sys/init", body: `{`, status: 400, says: "not valid JSON"},
	})

	keys, err := n.Client("").Sys().Init(&api.InitRequest{SecretShares: 3, SecretThreshold: 2})
	if err != nil {
		t.Fatal(err)
	}
	check([]badRequest{
		{name: "read", method: "GET", target: "/v1/secret/a", status: 503, says: "Vault is sealed"},
		{name: "write", method: "PUT", target: "/v1/secret/a", body: `{"v":1}`, status: 503, says: "Vault is sealed"},
		{name: "mounts", method: "GET", target: "/v1/sys/mounts", status: 503, says: "Vault is sealed"},
		{name: "seal again", method: "PUT", target: "/v1/sys/seal", status: 503, says: "Vault is sealed"},
		{name: "step down", method: "PUT", target: "/v1/sys/step-down", status: 503, says: "Vault is sealed"},
		{name: "no key", method: "PUT", target: "/v1/sys/unseal", body: `{}`, status: 400, says: "'key' must be specified"},
		{name: "share of the wrong length", method: "PUT", target: "/v1/sys/unseal", body: unseal("hunter2"), status: 400, says: "7 characters long"},
		{name: "share that is neither hex nor base64", method: "PUT", target: "/v1/sys/unseal", body: unseal(strings.Repeat("?", len(keys.Keys[0]))), status: 400, says: "neither hex nor base64"},
		{name: "share that is no number", method: "PUT", target: "/v1/sys/unseal", body: unseal(strings.Repeat("f", len(keys.Keys[0]))), status: 400, says: "invalid key share"},
	})
	if status, err := n.Client("").Sys().Unseal(keys.Keys[0]); err != nil || status.Progress != 1 {
		t.Fatalf("first share: %+v, %v, want progress 1", status, err)
	}
	check([]badRequest{{
		name: "share of another cluster", method: "PUT", target: "/v1/sys/unseal", body: unseal(other.KeysB64[1]), status: 400, says: "at least one is wrong",
	}})
	for i, key := range []string{keys.KeysB64[2], keys.Keys[2], keys.Keys[0]} { // the second is the first again
		status, err := n.Client("").Sys().Unseal(key)
		if err != nil || status.Sealed != (i < 2) {
			t.Errorf("right share %d: %+v, %v, want sealed %v", i+1, status, err, i < 2)
		}
	}
	harness.Eventually(t, "the node is active", func() error {
		leader, err := n.Client("").Sys().Leader()
		if err == nil && !leader.IsSelf {
			err = errors.New("it is not")
		}
		return err
	})
}
