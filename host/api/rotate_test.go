package api_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/holdfast/holdfast/host/rotation"
	"github.com/holdfast/holdfast/host/store"
)

// keys is a fake rotation.Rotator.
type keys struct {
	term   uint32
	policy rotation.Policy
	err    error
}

func (k *keys) Rotate(context.Context) error {
	if k.err == nil {
		k.term++
	}
	return k.err
}

func (k *keys) Status() rotation.Status {
	return rotation.Status{Term: k.term, Installed: time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC), Seals: 1234}
}

func (k *keys) Policy() rotation.Policy { return k.policy }

func (k *keys) SetPolicy(_ context.Context, change func(*rotation.Policy)) error {
	next := k.policy
	change(&next)
	if err := next.Validate(); err != nil {
		return err
	}
	k.policy = next
	return nil
}

func TestRotateAndKeyStatus(t *testing.T) {
	f := newFixture(t)
	for i, path := range []string{"/v1/sys/rotate", "/v1/sys/rotate/keyring"} {
		f.ok(http.StatusNoContent, "POST", path, "")
		f.ok(http.StatusNoContent, "PUT", path, "")
		got := f.ok(http.StatusOK, "GET", "/v1/sys/key-status", "")
		for _, at := range []string{"", "data."} { // clients look in both places
			if got.at(at+"term") != float64(3+2*i) || got.at(at+"encryptions") != 1234.0 ||
				got.at(at+"install_time") != "2026-01-02T03:04:05.000000006Z" {
				t.Errorf("key-status: %s", got.body)
			}
		}
	}
	f.ok(http.StatusMethodNotAllowed, "GET", "/v1/sys/rotate", "")
	f.ok(http.StatusMethodNotAllowed, "POST", "/v1/sys/key-status", "")
	f.ok(http.StatusNotFound, "POST", "/v1/sys/rotate/root", "")
	f.ok(http.StatusForbidden, "POST", "/v1/sys/rotate", "", "X-Vault-Token", "another")
	if got := f.keys.term; got != 5 {
		t.Errorf("term %d, want 5", got)
	}
}

func TestRotateThatFails(t *testing.T) {
	f := newFixture(t)
	for err, want := range map[error]int{
		store.ErrNotActive:      http.StatusServiceUnavailable,
		store.ErrOutcomeUnknown: http.StatusGatewayTimeout,
		errors.New("broken"):    http.StatusInternalServerError,
	} {
		f.keys.err = err
		f.ok(want, "POST", "/v1/sys/rotate", "")
	}
}

func TestRotationPolicy(t *testing.T) {
	f := newFixture(t)
	want := func(body string) {
		t.Helper()
		got := f.ok(http.StatusOK, "GET", "/v1/sys/rotate/config", "")
		if !strings.Contains(got.body, `"data":`+body) {
			t.Errorf("config: %s, want %s", got.body, body)
		}
	}
	want(`{"enabled":true,"interval":0,"max_operations":3865470566}`)
	// As the client libraries send it, and as the command line does.
	f.ok(http.StatusNoContent, "POST", "/v1/sys/rotate/config", `{"enabled":false,"interval":86400,"max_operations":1000000}`)
	want(`{"enabled":false,"interval":"24h0m0s","max_operations":1000000}`)
	f.ok(http.StatusNoContent, "PUT", "/v1/sys/rotate/config", `{"enabled":"true","interval":"48h","max_operations":"2000000"}`)
	want(`{"enabled":true,"interval":"48h0m0s","max_operations":2000000}`)
	f.ok(http.StatusNoContent, "POST", "/v1/sys/rotate/config", `{"interval":0}`)
	want(`{"enabled":true,"interval":0,"max_operations":2000000}`)
	for _, bad := range []string{
		`{"max_operations":999999}`, `{"max_operations":3865470567}`, `{"max_operations":-1}`, `{"max_operations":"many"}`,
		`{"interval":"23h"}`, `{"interval":"long"}`, `{"enabled":"perhaps"}`,
	} {
		f.ok(http.StatusBadRequest, "POST", "/v1/sys/rotate/config", bad)
	}
	want(`{"enabled":true,"interval":0,"max_operations":2000000}`)
}
