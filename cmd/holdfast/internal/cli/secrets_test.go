package cli

import (
	"reflect"
	"strings"
	"testing"
)

func TestSecretsEnable(t *testing.T) {
	for _, test := range []struct {
		args    []string
		line    string
		options map[string]any
		kind    string
	}{
		{[]string{"kv"}, "POST /v1/sys/mounts/kv", nil, "kv"},
		{[]string{"-path=secret/", "kv-v2"}, "POST /v1/sys/mounts/secret", map[string]any{"version": "2"}, "kv"},
		{[]string{"kv-v1"}, "POST /v1/sys/mounts/kv-v1", map[string]any{"version": "1"}, "kv"},
		{[]string{"-version=2", "-options=a=b", "kv"}, "POST /v1/sys/mounts/kv", map[string]any{"version": "2", "a": "b"}, "kv"},
		{[]string{"-path=x", "transit"}, "POST /v1/sys/mounts/x", nil, "transit"},
	} {
		server := newFakeServer(t, map[string]reply{test.line: {204, ""}})
		got := newUser(t, server.URL).mustRun(t, append([]string{"secrets", "enable"}, test.args...)...)
		sent := server.last(t)
		options, _ := sent.body["options"].(map[string]any)
		if !strings.HasPrefix(got.stdout, "Success!") || sent.body["type"] != test.kind || !reflect.DeepEqual(options, test.options) {
			t.Errorf("%q: printed %q, sent %v", test.args, got.stdout, sent.body)
		}
	}
}

func TestSecretsList(t *testing.T) {
	server := newFakeServer(t, map[string]reply{"GET /v1/sys/mounts": {200, `{"data":{
		"secret/":{"type":"kv","accessor":"kv_1","description":"all of it","options":{"version":"2"},"config":{"default_lease_ttl":0,"max_lease_ttl":60}},
		"a/":{"type":"kv","accessor":"kv_2","description":"","options":null,"config":{}}}}`}})
	u := newUser(t, server.URL)
	wantLines(t, u.mustRun(t, "secrets", "list").stdout, "Path Type Accessor Description", "a/ kv kv_2 n/a", "secret/ kv kv_1 all of it")
	wantLines(t, u.mustRun(t, "secrets", "list", "-detailed").stdout, "secret/ kv kv_1 system 60 map[version:2] n/a all of it")
	if got := u.mustRun(t, "secrets", "list", "-format=json").stdout; !strings.Contains(got, `"secret/": {`) {
		t.Errorf("JSON output %q", got)
	}
}

func TestSecretsDisableAndTune(t *testing.T) {
	server := newFakeServer(t, map[string]reply{
		"DELETE /v1/sys/mounts/old":        {204, ""},
		"PUT /v1/sys/mounts/team/new/tune": {204, ""},
	})
	u := newUser(t, server.URL)
	u.mustRun(t, "secrets", "disable", "old/")
	if sent := server.last(t).line; sent != "DELETE /v1/sys/mounts/old" {
		t.Errorf("disable sent %s", sent)
	}
	u.mustRun(t, "secrets", "tune", "-description=", "-max-lease-ttl=1h", "team/new")
	want := map[string]any{"description": "", "max_lease_ttl": "1h"}
	if sent := server.last(t).body; !reflect.DeepEqual(sent, want) {
		t.Errorf("tune sent %v, want %v", sent, want)
	}
}

func TestLogicalCommands(t *testing.T) {
	server := newFakeServer(t, map[string]reply{
		"GET /v1/a/b":           {200, `{"data":{"k":"v"},"lease_duration":7200,"warnings":["look out"]}`},
		"PUT /v1/a/b":           {204, ""},
		"PUT /v1/a/c":           {200, `{"data":{"n":1}}`},
		"GET /v1/a?list=true":   {200, `{"data":{"keys":["b"]}}`},
		"DELETE /v1/a/b":        {204, ""},
		"DELETE /v1/a/kept":     {403, `{"errors":["permission denied"]}`},
		"GET /v1/sys/unhealthy": {500, `not JSON`},
	})
	u := newUser(t, server.URL)
	got := u.mustRun(t, "read", "a/b")
	wantLines(t, got.stdout, "refresh_interval 2h0m0s", "k v")
	if !strings.Contains(got.stderr, "WARNING! look out") {
		t.Errorf("stderr %q", got.stderr)
	}
	if got := u.mustRun(t, "write", "a/b", "k=v").stdout; got != "Success! Data written to: a/b\n" {
		t.Errorf("write printed %q", got)
	}
	if got := u.mustRun(t, "write", "-field=n", "-f", "a/c").stdout; got != "1" {
		t.Errorf("write -field printed %q", got)
	}
	wantLines(t, u.mustRun(t, "list", "a/").stdout, "Keys", "----", "b")
	u.mustRun(t, "delete", "a/b")
	for args, code := range map[string]int{
		"read a/absent": exitRemote, "list absent": exitRemote, "delete a/kept": exitRemote,
		"read sys/unhealthy": exitRemote, "write a/b": exitLocal,
	} {
		if got := u.run(t, strings.Fields(args)...); got.code != code || got.stderr == "" {
			t.Errorf("%s: exit code %d, stderr %q, want %d", args, got.code, got.stderr, code)
		}
	}
}
