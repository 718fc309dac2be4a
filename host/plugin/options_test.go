package plugin_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/holdfast/holdfast/host/plugin"
	"github.com/holdfast/holdfast/sdk/wire"
)

// The storage stanza is checked against what the plugin says it takes, before the plugin
// gets any of it.
func TestOptionsAreChecked(t *testing.T) {
	const secret = "squeamish"
	places := map[string]string{"": "h.hcl:1", "addrss": "h.hcl:2", "tokem": "h.hcl:3"}
	for _, tt := range []struct {
		name, mode string
		options    map[string]any
		place      func(string) string
		want       []string // nil: it opens
	}{
		{"as they should be", "schema", map[string]any{"address": "a", "token": secret}, nil, nil},
		{"what may be a default of the plugin", "schema", map[string]any{"address": "a"}, nil, nil},
		{"mistyped, as a file has them", "schema", map[string]any{"addrss": "a", "tokem": secret}, func(name string) string { return places[name] }, []string{
			`check options: invalid storage configuration: h.hcl:2: storage "good": option "addrss" is unknown, did you mean "address"?; `,
			`h.hcl:3: storage "good": option "tokem" is unknown, did you mean "token"?; `,
			`h.hcl:1: storage "good": option "address" is required: where the store is`,
		}},
		{
			"like none", "schema",
			map[string]any{"address": "a", "zookeeper": 1},
			nil,
			[]string{`: storage "good": option "zookeeper" is unknown`},
		},
		{"of a plugin that lists none", "good", map[string]any{"zookeeper": 1}, nil, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			socketDir := sockets(t)
			logger := newLog(t)
			s, err := plugin.Open(within(t, patience), plugin.Spec{
				Type: "good", Directory: directory(t, "good"), Args: []string{tt.mode}, Options: tt.options, Place: tt.place, StartTimeout: patience,
			}, logger)
			switch {
			case err == nil:
				if cerr := s.Close(); tt.want != nil || cerr != nil {
					t.Errorf("opened, want an error with %q; close: %v", tt.want, cerr)
				}
			case tt.want == nil:
				t.Error(err)
			default:
				checkOneLine(t, err, tt.want...)
				if !errors.Is(err, wire.ErrInvalidConfig) {
					t.Errorf("got %v, want it to wrap ErrInvalidConfig", err)
				}
				if strings.Contains(err.Error()+logger.String(), secret) {
					t.Errorf("a value is in the error or the log: %v\n%s", err, logger)
				}
			}
			checkNothingLeft(t, socketDir)
		})
	}
}
