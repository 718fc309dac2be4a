package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const lookupAnswer = `{"data":{"id":"hvs.mine","accessor":"acc","policies":["root"],"ttl":0,"renewable":false,"meta":null}}`

func TestLoginKeepsTheToken(t *testing.T) {
	server := newFakeServer(t, map[string]reply{
		"GET /v1/auth/token/lookup-self": {200, lookupAnswer},
		"GET /v1/sys/mounts":             {200, `{"data":{"a":"b"}}`},
	})
	u := newUser(t, server.URL)
	delete(u.env, "HOLDFAST_TOKEN")
	u.stdin = strings.NewReader("hvs.mine\n")
	got := u.mustRun(t, "login", "-")
	wantLines(t, got.stdout, "token hvs.mine", "token_accessor acc", "token_duration ∞", `token_policies ["root"]`)
	path := filepath.Join(u.env["HOME"], ".holdfast-token")
	info, err := os.Stat(path)
	if err != nil || info.Mode() != 0o600 {
		t.Errorf("token file: mode %v, %v, want 0600", info.Mode(), err)
	}
	u.mustRun(t, "read", "sys/mounts")
	if sent := server.last(t).token; sent != "hvs.mine" {
		t.Errorf("the next command sent token %q", sent)
	}
	for _, variable := range []string{"VAULT_TOKEN", "HOLDFAST_TOKEN"} { // each wins over what is before it
		u.env[variable] = "from-" + variable
		u.mustRun(t, "read", "sys/mounts")
		if sent := server.last(t).token; sent != u.env[variable] {
			t.Errorf("with %s set the command sent %q", variable, sent)
		}
	}
}

func TestLoginWarnsOfTheEnvironment(t *testing.T) {
	server := newFakeServer(t, map[string]reply{"GET /v1/auth/token/lookup-self": {200, lookupAnswer}})
	got := newUser(t, server.URL).mustRun(t, "login", "token=hvs.mine")
	if !strings.Contains(got.stderr, "HOLDFAST_TOKEN is set") {
		t.Errorf("stderr %q", got.stderr)
	}
}

func TestLoginRefused(t *testing.T) {
	server := newFakeServer(t, map[string]reply{"GET /v1/auth/token/lookup-self": {403, `{"errors":["bad token"]}`}})
	u := newUser(t, server.URL)
	got := u.run(t, "login", "hunter2")
	if got.code != exitRemote || strings.Contains(got.stderr, "hunter2") {
		t.Errorf("exit code %d, stderr %q", got.code, got.stderr)
	}
	if _, err := os.Stat(filepath.Join(u.env["HOME"], ".holdfast-token")); err == nil {
		t.Error("a refused token was kept")
	}
}

func TestLoginWithoutHome(t *testing.T) {
	server := newFakeServer(t, map[string]reply{"GET /v1/auth/token/lookup-self": {200, lookupAnswer}})
	u := newUser(t, server.URL)
	delete(u.env, "HOME")
	if got := u.run(t, "login", "hvs.mine"); got.code != exitLocal || !strings.Contains(got.stderr, "HOME is not set") {
		t.Errorf("exit code %d, stderr %q", got.code, got.stderr)
	}
	got := u.mustRun(t, "login", "-token-only", "hvs.mine")
	if got.stdout != "hvs.mine" {
		t.Errorf("-token-only printed %q", got.stdout)
	}
}

func TestLoginJSON(t *testing.T) {
	server := newFakeServer(t, map[string]reply{"GET /v1/auth/token/lookup-self": {200, lookupAnswer}})
	got := newUser(t, server.URL).mustRun(t, "login", "-format=json", "-no-store", "hvs.mine")
	var answer struct {
		Auth struct {
			ClientToken string   `json:"client_token"`
			Policies    []string `json:"policies"`
		} `json:"auth"`
	}
	if err := json.Unmarshal([]byte(got.stdout), &answer); err != nil || answer.Auth.ClientToken != "hvs.mine" || len(answer.Auth.Policies) != 1 {
		t.Errorf("got %+v, %v from %q", answer, err, got.stdout)
	}
}

func TestTokenLookup(t *testing.T) {
	other := `{"data":{"id":"hvs.other","ttl":3600}}`
	server := newFakeServer(t, map[string]reply{
		"GET /v1/auth/token/lookup-self":      {200, lookupAnswer},
		"POST /v1/auth/token/lookup":          {200, other},
		"POST /v1/auth/token/lookup-accessor": {200, other},
	})
	u := newUser(t, server.URL)
	wantLines(t, u.mustRun(t, "token", "lookup").stdout, "accessor acc", "id hvs.mine", "ttl 0s")
	wantLines(t, u.mustRun(t, "token", "lookup", "hvs.other").stdout, "id hvs.other", "ttl 1h0m0s")
	if sent := server.last(t).body["token"]; sent != "hvs.other" {
		t.Errorf("looked up %v", sent)
	}
	u.mustRun(t, "token", "lookup", "-accessor", "acc2")
	if sent := server.last(t).body["accessor"]; sent != "acc2" {
		t.Errorf("looked up accessor %v", sent)
	}
}
