package cli

import (
	"encoding/json"
	"strings"
	"testing"
)

const pluginAnswer = `{"data":{"type":"consul","name":"consul","version":"1.4.0","sdk":"holdfast","protocol":1,
	"capabilities":{"ha":true,"ha_disabled":false,"last_will":true,"max_key_bytes":512,"max_value_bytes":262144,"max_ops":127,"max_batch_bytes":300000},
	"path":"/plugins/holdfast-storage-consul","sha256":"ab12","pid":42,"running":true,"start_time":"2026-01-02T03:04:05Z","uptime_seconds":3725,
	"restarts":2,"last_restart_time":"2026-01-02T03:04:05Z","reloads":0,"last_error":"plugin gone; its last words: panic: no"}}`

func TestPluginStatus(t *testing.T) {
	server := newFakeServer(t, map[string]reply{"GET /v1/sys/plugins/storage": {200, pluginAnswer}})
	u := newUser(t, server.URL)
	got := u.mustRun(t, "plugin", "status")
	wantLines(t, got.stdout, "Type consul", "Version 1.4.0", "HA available", "Last Will true", "Max Batch 127 operations, 300000 bytes",
		"Path /plugins/holdfast-storage-consul", "SHA256 ab12", "PID 42", "Uptime 1h2m5s", "Restarts 2", "Last Restart 2026-01-02T03:04:05Z",
		"Reloads 0", "Last Reload n/a", "Last Error plugin gone; its last words: panic: no")
	got = u.mustRun(t, "plugin", "status", "-format=json")
	if !json.Valid([]byte(got.stdout)) || !strings.Contains(got.stdout, `"max_ops": 127`) {
		t.Errorf("JSON output %q", got.stdout)
	}
}

func TestPluginReload(t *testing.T) {
	server := newFakeServer(t, map[string]reply{"PUT /v1/sys/plugins/storage/reload": {200, pluginAnswer}})
	got := newUser(t, server.URL).mustRun(t, "plugin", "reload")
	wantLines(t, got.stdout, "Success! The storage plugin was replaced.", "PID 42")
	if sent := server.last(t); sent.token != "root-token" {
		t.Errorf("sent with token %q", sent.token)
	}
	server = newFakeServer(t, map[string]reply{"PUT /v1/sys/plugins/storage/reload": {400, `{"errors":["it ended before its handshake"]}`}})
	if got := newUser(t, server.URL).run(t, "plugin", "reload"); got.code != exitRemote || !strings.Contains(got.stderr, "ended before its handshake") {
		t.Errorf("exit code %d, stderr %q", got.code, got.stderr)
	}
}
