package cli

import (
	"encoding/json"
	"testing"
)

const (
	unsealedStatus = `{"type":"shamir","initialized":true,"sealed":false,"t":2,"n":3,"progress":0,"version":"1.2.3","storage_type":"consul","cluster_name":"c1"}`
	sealedStatus   = `{"type":"shamir","initialized":true,"sealed":true,"t":2,"n":3,"progress":1,"nonce":"abc","version":"1.2.3"}`
)

func TestStatus(t *testing.T) {
	for _, test := range []struct {
		name         string
		seal, leader reply
		code         int
		lines        []string
	}{
		{
			name:   "active",
			seal:   reply{200, unsealedStatus},
			leader: reply{200, `{"ha_enabled":true,"is_self":true,"active_time":"2026-01-02T03:04:05Z","leader_address":"http://a","leader_cluster_address":"https://a:1"}`},
			lines: []string{
				"Key Value", "--- -----", "Seal Type shamir", "Sealed false", "Total Shares 3", "Threshold 2",
				"Storage Type consul", "HA Enabled true", "HA Cluster https://a:1", "HA Mode active", "Active Since 2026-01-02T03:04:05Z",
			},
		},
		{
			name:   "standby",
			seal:   reply{200, unsealedStatus},
			leader: reply{200, `{"ha_enabled":true,"leader_address":"http://a"}`},
			lines:  []string{"HA Mode standby", "Active Node Address http://a"},
		},
		{
			name:   "standby without an active node",
			seal:   reply{200, unsealedStatus},
			leader: reply{200, `{"ha_enabled":true}`},
			lines:  []string{"HA Cluster n/a", "Active Node Address <none>"},
		},
		{
			name:   "no HA",
			seal:   reply{200, unsealedStatus},
			leader: reply{200, `{"ha_enabled":false}`},
			lines:  []string{"HA Enabled false"},
		},
		{
			name:   "sealed",
			seal:   reply{200, sealedStatus},
			leader: reply{503, `{"errors":["Vault is sealed"]}`},
			code:   2,
			lines:  []string{"Sealed true", "Unseal Progress 1/2", "Unseal Nonce abc", "HA Enabled true", "HA Mode sealed"},
		},
		{name: "seal status refused", seal: reply{500, `{"errors":["broken"]}`}, code: 1},
		{name: "leader refused", seal: reply{200, unsealedStatus}, leader: reply{503, `{"errors":["Vault is sealed"]}`}, code: 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			server := newFakeServer(t, map[string]reply{"GET /v1/sys/seal-status": test.seal, "GET /v1/sys/leader": test.leader})
			got := newUser(t, server.URL).run(t, "status")
			if got.code != test.code {
				t.Errorf("exit code %d, want %d; stderr %q", got.code, test.code, got.stderr)
			}
			wantLines(t, got.stdout, test.lines...)
			if test.code == 1 && (got.stdout != "" || got.stderr == "") {
				t.Errorf("stdout %q, stderr %q: want only an error", got.stdout, got.stderr)
			}
		})
	}
}

func TestStatusUnreachable(t *testing.T) {
	if got := newUser(t, "http://127.0.0.1:1").run(t, "status"); got.code != 1 || got.stderr == "" {
		t.Errorf("exit code %d, stderr %q: want 1 and an error", got.code, got.stderr)
	}
}

func TestStatusNeedsNoHome(t *testing.T) {
	server := newFakeServer(t, map[string]reply{
		"GET /v1/sys/seal-status": {200, unsealedStatus},
		"GET /v1/sys/leader":      {200, `{"ha_enabled":false}`},
	})
	u := newUser(t, server.URL)
	u.env = map[string]string{"HOLDFAST_ADDR": server.URL}
	u.mustRun(t, "status")
	if token := server.last(t).token; token != "" {
		t.Errorf("sent token %q, want none", token)
	}
}

func TestStatusJSON(t *testing.T) {
	server := newFakeServer(t, map[string]reply{
		"GET /v1/sys/seal-status": {200, unsealedStatus},
		"GET /v1/sys/leader":      {200, `{"ha_enabled":true,"is_self":false,"leader_address":"http://a"}`},
	})
	got := newUser(t, server.URL).mustRun(t, "status", "-format=json")
	var report map[string]any
	if err := json.Unmarshal([]byte(got.stdout), &report); err != nil {
		t.Fatalf("decode %q: %v", got.stdout, err)
	}
	for key, want := range map[string]any{"sealed": false, "t": 2.0, "n": 3.0, "ha_enabled": true, "is_self": false, "leader_address": "http://a"} {
		if report[key] != want {
			t.Errorf("%s is %v, want %v", key, report[key], want)
		}
	}
}
