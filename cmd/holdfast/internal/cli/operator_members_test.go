package cli

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestOperatorMembers(t *testing.T) {
	server := newFakeServer(t, map[string]reply{"GET /v1/sys/ha-status": {200, `{"data":{"nodes":[
		{"hostname":"n1","api_address":"http://n1:8200","cluster_address":"https://n1:8201","active_node":true,"version":"1.2.3",
		 "last_echo":null,"role":"active","epoch":4,"attached":null,"instance_id":"aaa"},
		{"hostname":"n2","api_address":"http://n2:8200","cluster_address":"https://n2:8201","active_node":false,"version":"1.2.3",
		 "last_echo":"2026-01-02T03:04:05.6Z","role":"standby","epoch":4,"attached":"2026-01-02T03:00:00Z","instance_id":"bbb"}],
		"epoch":4,"last_change":"2026-01-02T02:00:00Z","last_reason":"http://n1:8200 took over epoch 4: http://n2:8200 handed over",
		"record_error":"it is missing"}}`}})
	got := newUser(t, server.URL).mustRun(t, "operator", "members")
	wantLines(t, got.stdout,
		"Host Name API Address Cluster Address Active Node Version Last Echo Role Epoch Attached Instance ID",
		"n1 http://n1:8200 https://n1:8201 true 1.2.3 n/a active 4 n/a aaa",
		"n2 http://n2:8200 https://n2:8201 false 1.2.3 2026-01-02T03:04:05Z standby 4 2026-01-02T03:00:00Z bbb",
		"Last change: 2026-01-02T02:00:00Z, http://n1:8200 took over epoch 4: http://n2:8200 handed over",
		"Nothing is read or written: it is missing")
	got = newUser(t, server.URL).mustRun(t, "operator", "members", "-format=json")
	if !json.Valid([]byte(got.stdout)) || !strings.Contains(got.stdout, `"https://n2:8201"`) {
		t.Errorf("JSON output %q", got.stdout)
	}
}

func TestOperatorMembersHistory(t *testing.T) {
	server := newFakeServer(t, map[string]reply{"GET /v1/sys/ha-status/terms": {200, `{"data":{"unreadable":1,"terms":[
		{"epoch":2,"api_address":"http://n2:8200","began":"2026-01-02T03:04:05Z","reason":"http://n1:8200 handed over"},
		{"epoch":1,"api_address":"http://n1:8200","began":"2026-01-02T02:00:00Z","reason":"nobody was active before",
		 "ended":"2026-01-02T03:04:05Z","end_reason":"an operator asked it to step down"}]}}`}})
	got := newUser(t, server.URL).mustRun(t, "operator", "members", "-history")
	wantLines(t, got.stdout,
		"Epoch Active Node Began Why Ended Why",
		"2 http://n2:8200 2026-01-02T03:04:05Z http://n1:8200 handed over n/a n/a",
		"1 http://n1:8200 2026-01-02T02:00:00Z nobody was active before 2026-01-02T03:04:05Z an operator asked it to step down",
		"1 terms can not be read: their records in the store were altered.")
}

func TestOperatorStepDownTo(t *testing.T) {
	server := newFakeServer(t, map[string]reply{"PUT /v1/sys/step-down": {204, ""}})
	newUser(t, server.URL).mustRun(t, "operator", "step-down", "-to=https://n2:8200")
	if sent := server.last(t); sent.body["to"] != "https://n2:8200" {
		t.Errorf("sent %v", sent.body)
	}
	server = newFakeServer(t, map[string]reply{"PUT /v1/sys/step-down": {400, `{"errors":["no such standby: \"n9\" is not attached"]}`}})
	if got := newUser(t, server.URL).run(t, "operator", "step-down", "-to=n9"); got.code != exitRemote || !strings.Contains(got.stderr, "n9") {
		t.Errorf("exit code %d, stderr %q", got.code, got.stderr)
	}
}

func TestOperatorAcceptRestore(t *testing.T) {
	server := newFakeServer(t, map[string]reply{"PUT /v1/sys/accept-restore": {204, ""}})
	got := newUser(t, server.URL).mustRun(t, "operator", "accept-restore")
	if sent := server.last(t); sent.token != "root-token" || !strings.HasPrefix(got.stdout, "Success!") {
		t.Errorf("sent with token %q; stdout %q", sent.token, got.stdout)
	}
}
