package sdk

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/holdfast/holdfast/sdk/storage"
	"github.com/holdfast/holdfast/sdk/wire"
)

func implementation[C any, B storage.Backend](t *testing.T, p Plugin[C, B]) wire.Implementation {
	t.Helper()
	impl, err := p.implementation(hclog.NewNullLogger())
	if err != nil {
		t.Fatalf("implementation: %v", err)
	}
	return impl
}

func TestTypeOfTheBackendDecidesWhetherHAIsOffered(t *testing.T) {
	if d := implementation(t, memoryPlugin()).Description; d.HA || len(d.Services) != 2 {
		t.Errorf("Backend: got HA %v and services %q, want no HA", d.HA, d.Services)
	}
	if d := implementation(t, haMemoryPlugin()).Description; !d.HA || len(d.Services) != 4 {
		t.Errorf("HABackend: got HA %v and services %q, want HA", d.HA, d.Services)
	}
}

func TestHAEnabledIsHandledForEveryBackend(t *testing.T) {
	ha, plain := implementation(t, haMemoryPlugin()), implementation(t, memoryPlugin())
	tests := []struct {
		impl         wire.Implementation
		stanza       string
		wantDisabled bool
		wantErr      string
	}{
		{ha, `{}`, false, ""},
		{ha, `{"ha_enabled": true}`, false, ""},
		{ha, `{"ha_enabled": "true"}`, false, ""},
		{ha, `{"ha_enabled": "false"}`, true, ""},
		{ha, `{"ha_enabled": false}`, true, ""},
		{ha, `{"ha_enabled": "perhaps"}`, false, `option "ha_enabled": want true or false, got "perhaps"`},
		{plain, `{"address": "a"}`, false, ""},
		{plain, `{"address": "a", "ha_enabled": "false"}`, false, ""},
		{plain, `{"address": "a", "ha_enabled": true}`, false, `option "ha_enabled": this storage has no high availability`},
	}
	for _, test := range tests {
		_, capabilities, err := test.impl.Open(t.Context(), []byte(test.stanza))
		if test.wantErr != "" {
			if !errors.Is(err, wire.ErrInvalidConfig) || !strings.Contains(err.Error(), test.wantErr) {
				t.Errorf("%s: got %v, want ErrInvalidConfig: %s", test.stanza, err, test.wantErr)
			}
			continue
		}
		if err != nil || capabilities.HADisabled != test.wantDisabled || capabilities.Limits != memoryLimits.Limits {
			t.Errorf("%s: got %+v, %v, want HADisabled %v", test.stanza, capabilities, err, test.wantDisabled)
		}
	}
}

func TestRefusedStanzaNamesEveryOptionAndNoSecret(t *testing.T) {
	_, _, err := implementation(t, memoryPlugin()).Open(t.Context(), []byte(`{"tokn": "hidden", "token": ["hidden"], "ha_enabled": 3}`))
	if !errors.Is(err, wire.ErrInvalidConfig) {
		t.Fatalf("got %v, want ErrInvalidConfig", err)
	}
	for _, want := range []string{`"address" is required`, `did you mean "token"`, `option "token": want a single value`, `"ha_enabled"`} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in %q", want, err)
		}
	}
	if strings.Contains(err.Error(), "hidden") {
		t.Errorf("a secret is in %q", err)
	}
	_, _, err = implementation(t, memoryPlugin()).Open(t.Context(), []byte(`{"address": "unreachable"}`))
	if errors.Is(err, wire.ErrInvalidConfig) || err == nil {
		t.Errorf("an error of the author's Open: got %v, want it as it is", err)
	}
}

func TestAuthorsMistakesAreRefused(t *testing.T) {
	noName, noOpen := memoryPlugin(), memoryPlugin()
	noName.Name, noOpen.Open = "", nil
	for _, p := range []Plugin[memoryConfig, *memory]{noName, noOpen} {
		if _, err := p.implementation(hclog.NewNullLogger()); err == nil {
			t.Errorf("%+v: got no error", p)
		}
	}
	type config struct {
		HA bool `config:"ha_enabled"`
	}
	taken := Plugin[config, *memory]{Name: "taken", Open: func(context.Context, config, Env) (*memory, storage.Capabilities, error) {
		return nil, storage.Capabilities{}, nil
	}}
	if _, err := taken.implementation(hclog.NewNullLogger()); err == nil || !strings.Contains(err.Error(), "ha_enabled") {
		t.Errorf("ha_enabled in the config struct: got %v, want an error", err)
	}
}
