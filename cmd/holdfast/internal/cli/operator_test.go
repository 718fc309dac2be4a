package cli

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"
)

const initAnswer = `{"keys":["00","01"],"keys_base64":["AA==","AQ=="],"root_token":"hvs.root"}`

func TestOperatorInit(t *testing.T) {
	server := newFakeServer(t, map[string]reply{"PUT /v1/sys/init": {200, initAnswer}})
	got := newUser(t, server.URL).mustRun(t, "operator", "init", "-key-shares=2", "-t", "2")
	wantLines(t, got.stdout, "Unseal Key 1: AA==", "Unseal Key 2: AQ==", "Initial Root Token: hvs.root")
	sent := server.last(t).body
	if sent["secret_shares"] != 2.0 || sent["secret_threshold"] != 2.0 {
		t.Errorf("sent %v, want 2 shares with a threshold of 2", sent)
	}
}

func TestOperatorInitJSON(t *testing.T) {
	server := newFakeServer(t, map[string]reply{"PUT /v1/sys/init": {200, initAnswer}})
	got := newUser(t, server.URL).mustRun(t, "operator", "init", "-key-shares=2", "-key-threshold=1", "-format=json")
	var keys struct {
		B64       []string `json:"unseal_keys_b64"`
		Hex       []string `json:"unseal_keys_hex"`
		Shares    int      `json:"unseal_shares"`
		Threshold int      `json:"unseal_threshold"`
		Root      string   `json:"root_token"`
	}
	if err := json.Unmarshal([]byte(got.stdout), &keys); err != nil {
		t.Fatalf("decode %q: %v", got.stdout, err)
	}
	if !slices.Equal(keys.B64, []string{"AA==", "AQ=="}) || !slices.Equal(keys.Hex, []string{"00", "01"}) ||
		keys.Shares != 2 || keys.Threshold != 1 || keys.Root != "hvs.root" {
		t.Errorf("got %+v", keys)
	}
}

func TestOperatorInitTwice(t *testing.T) {
	server := newFakeServer(t, map[string]reply{"PUT /v1/sys/init": {400, `{"errors":["Vault is already initialized"]}`}})
	if got := newUser(t, server.URL).run(t, "operator", "init"); got.code != exitRemote || !strings.Contains(got.stderr, "already initialized") {
		t.Errorf("exit code %d, stderr %q", got.code, got.stderr)
	}
}

func TestOperatorInitStatus(t *testing.T) {
	for _, test := range []struct {
		name   string
		answer reply
		code   int
	}{
		{"initialised", reply{200, `{"initialized":true}`}, 0},
		{"not initialised", reply{200, `{"initialized":false}`}, 2},
		{"error", reply{500, `{"errors":["broken"]}`}, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			server := newFakeServer(t, map[string]reply{"GET /v1/sys/init": test.answer})
			if got := newUser(t, server.URL).run(t, "operator", "init", "-status"); got.code != test.code {
				t.Errorf("exit code %d, want %d", got.code, test.code)
			}
		})
	}
}

func TestOperatorUnseal(t *testing.T) {
	for _, test := range []struct {
		name, stdin string
		args        []string
		sent        map[string]any
	}{
		{"argument", "", []string{"AQ=="}, map[string]any{"key": "AQ=="}},
		{"standard input", "AQ==\n", []string{"-"}, map[string]any{"key": "AQ=="}},
		{"reset", "", []string{"-reset"}, map[string]any{"reset": true}},
	} {
		t.Run(test.name, func(t *testing.T) {
			server := newFakeServer(t, map[string]reply{"PUT /v1/sys/unseal": {200, sealedStatus}})
			u := newUser(t, server.URL)
			u.stdin = strings.NewReader(test.stdin)
			got := u.mustRun(t, append([]string{"operator", "unseal"}, test.args...)...)
			wantLines(t, got.stdout, "Sealed true", "Unseal Progress 1/2")
			sent := server.last(t)
			if !maps.Equal(sent.body, test.sent) || sent.token != "" {
				t.Errorf("sent %v with token %q, want %v without one", sent.body, sent.token, test.sent)
			}
		})
	}
}

func TestOperatorUnsealWrongKeyIsNotShown(t *testing.T) {
	server := newFakeServer(t, map[string]reply{"PUT /v1/sys/unseal": {400, `{"errors":["invalid key"]}`}})
	got := newUser(t, server.URL).run(t, "operator", "unseal", "hunter2")
	if got.code != exitRemote || !strings.Contains(got.stderr, "invalid key") || strings.Contains(got.stderr, "hunter2") {
		t.Errorf("exit code %d, stderr %q", got.code, got.stderr)
	}
}

func TestOperatorSealAndStepDown(t *testing.T) {
	server := newFakeServer(t, map[string]reply{"PUT /v1/sys/seal": {204, ""}, "PUT /v1/sys/step-down": {204, ""}})
	u := newUser(t, server.URL)
	for _, name := range []string{"seal", "step-down"} {
		got := u.mustRun(t, "operator", name)
		if !strings.HasPrefix(got.stdout, "Success!") {
			t.Errorf("%s: stdout %q", name, got.stdout)
		}
		if sent := server.last(t); sent.line != "PUT /v1/sys/"+name || sent.token != "root-token" {
			t.Errorf("%s: sent %q with token %q", name, sent.line, sent.token)
		}
	}
}
