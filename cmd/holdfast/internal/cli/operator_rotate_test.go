package cli

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/hashicorp/vault/api"
)

const keyStatusAnswer = `{"data":{"term":3,"install_time":"2026-01-02T03:04:05.678Z","encryptions":1234}}`

func TestOperatorRotate(t *testing.T) {
	server := newFakeServer(t, map[string]reply{
		"POST /v1/sys/rotate": {204, ""}, "GET /v1/sys/key-status": {200, keyStatusAnswer},
	})
	got := newUser(t, server.URL).mustRun(t, "operator", "rotate")
	if !strings.HasPrefix(got.stdout, "Success!") {
		t.Errorf("stdout %q", got.stdout)
	}
	wantLines(t, got.stdout, "Key Term 3", "Install Time 2026-01-02T03:04:05Z", "Encryption Count 1234")
	if server.requests[0].line != "POST /v1/sys/rotate" || server.requests[0].token != "root-token" {
		t.Errorf("first request: %q with token %q", server.requests[0].line, server.requests[0].token)
	}
}

func TestOperatorRotateThatFails(t *testing.T) {
	server := newFakeServer(t, map[string]reply{"POST /v1/sys/rotate": {504, `{"errors":["outcome unknown"]}`}})
	got := newUser(t, server.URL).run(t, "operator", "rotate")
	if got.code != exitRemote || !strings.Contains(got.stderr, "outcome unknown") || strings.Contains(got.stdout, "Success") {
		t.Errorf("exit code %d, stdout %q, stderr %q", got.code, got.stdout, got.stderr)
	}
}

func TestOperatorKeyStatusJSON(t *testing.T) {
	server := newFakeServer(t, map[string]reply{"GET /v1/sys/key-status": {200, keyStatusAnswer}})
	got := newUser(t, server.URL).mustRun(t, "operator", "key-status", "-format=json")
	var key api.KeyStatus
	if err := json.Unmarshal([]byte(got.stdout), &key); err != nil || key.Term != 3 || key.Encryptions != 1234 {
		t.Errorf("got %+v, %v from %q", key, err, got.stdout)
	}
}
