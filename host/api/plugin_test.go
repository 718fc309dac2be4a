package api_test

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/holdfast/holdfast/host/api"
	"github.com/holdfast/holdfast/host/plugin"
	"github.com/holdfast/holdfast/sdk/storage"
)

func TestStoragePlugin(t *testing.T) {
	f := newFixture(t)
	got := f.ok(200, "GET", "/v1/sys/plugins/storage", "")
	if got.at("data.type") != "inmem" || got.at("data.pid") != 42.0 || got.at("data.capabilities.ha") != false || got.at("data.start_time") != nil {
		t.Errorf("got %s", got.body)
	}
	got = f.ok(200, "PUT", "/v1/sys/plugins/storage/reload", "")
	if got.at("data.restarts") != 3.0 {
		t.Errorf("got %s", got.body)
	}
	f.ok(405, "POST", "/v1/sys/plugins/storage", "")
	f.ok(405, "GET", "/v1/sys/plugins/storage/reload", "")
	f.ok(403, "GET", "/v1/sys/plugins/storage", "", "X-Vault-Token", "wrong")
	f.ok(403, "POST", "/v1/sys/plugins/storage/reload", "", "X-Vault-Token", "wrong")

	// A standby answers for itself, whatever the client says about forwarding.
	f.node.setStatus(func(s *api.Status) { s.Role = api.RoleStandby })
	f.ok(200, "GET", "/v1/sys/plugins/storage", "", "X-Vault-No-Request-Forwarding", "true")
	f.node.setStatus(func(s *api.Status) { s.Sealed, s.Role = true, api.RoleNone })
	f.ok(503, "GET", "/v1/sys/plugins/storage", "")
	f.ok(503, "POST", "/v1/sys/plugins/storage/reload", "")
}

// What a program does wrong is a 400, what may be better later a 503.
func TestReloadThatFails(t *testing.T) {
	for _, tt := range []struct {
		err    error
		status int
	}{
		{fmt.Errorf("%w: it ended before its handshake", plugin.ErrNotReloaded), http.StatusBadRequest},
		{fmt.Errorf("%w: configure plugin: %w", plugin.ErrNotReloaded, storage.ErrUnavailable), http.StatusServiceUnavailable},
		{plugin.ErrReloading, http.StatusServiceUnavailable},
	} {
		f := newFixture(t)
		f.node.reload = tt.err
		got := f.ok(tt.status, "PUT", "/v1/sys/plugins/storage/reload", "")
		if want := `{"errors":["` + tt.err.Error() + `"]}`; got.body != want {
			t.Errorf("got %s, want %s", got.body, want)
		}
	}
}
