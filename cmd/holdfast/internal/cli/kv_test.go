package cli

import (
	"encoding/json"
	"maps"
	"reflect"
	"strings"
	"testing"
)

const (
	v2Mount  = `{"data":{"path":"secret/","type":"kv","options":{"version":"2"}}}`
	v1Mount  = `{"data":{"path":"old/","type":"kv","options":null}}`
	v2Secret = `{"data":{"data":{"user":"app","port":5432},"metadata":{"version":3,"created_time":"2026-01-02T03:04:05Z","deletion_time":"","destroyed":false,"custom_metadata":null}}}`
	v2Absent = `{"data":{"data":null,"metadata":{"version":3,"deletion_time":"2026-01-02T03:04:05Z","destroyed":false}}}`
	newV2    = `{"data":{"version":4,"created_time":"2026-01-02T03:04:05Z","deletion_time":"","destroyed":false}}`
)

// kvServer knows a version 2 engine at secret/ and a version 1 engine at old/.
func kvServer(t *testing.T, more map[string]reply) *fakeServer {
	t.Helper()
	replies := map[string]reply{
		"GET /v1/sys/internal/ui/mounts/secret":          {200, v2Mount},
		"GET /v1/sys/internal/ui/mounts/secret/db":       {200, v2Mount},
		"GET /v1/sys/internal/ui/mounts/secret/team/db":  {200, v2Mount},
		"GET /v1/sys/internal/ui/mounts/old":             {200, v1Mount},
		"GET /v1/sys/internal/ui/mounts/old/db":          {200, v1Mount},
		"GET /v1/sys/internal/ui/mounts/token/db":        {200, `{"data":{"path":"token/","type":"token"}}`},
		"GET /v1/sys/internal/ui/mounts/secret/team":     {200, v2Mount},
		"GET /v1/sys/internal/ui/mounts/forbidden/thing": {403, `{"errors":["preflight capability check returned 403"]}`},
	}
	maps.Copy(replies, more)
	return newFakeServer(t, replies)
}

func TestKVPathStyles(t *testing.T) {
	server := kvServer(t, map[string]reply{
		"GET /v1/secret/data/db":      {200, v2Secret},
		"GET /v1/secret/data/team/db": {200, v2Secret},
		"GET /v1/old/db":              {200, `{"data":{"user":"app"},"lease_duration":60}`},
		"GET /v1/ancient/db":          {200, `{"data":{"user":"app"}}`},
	})
	u := newUser(t, server.URL)
	for _, test := range []struct {
		args []string
		line string
	}{
		{[]string{"secret/db"}, "GET /v1/secret/data/db"},
		{[]string{"/secret/db/"}, "GET /v1/secret/data/db"},
		{[]string{"secret/team/db"}, "GET /v1/secret/data/team/db"},
		{[]string{"-mount=secret", "db"}, "GET /v1/secret/data/db"},
		{[]string{"-mount", "secret/", "team/db"}, "GET /v1/secret/data/team/db"},
		{[]string{"old/db"}, "GET /v1/old/db"},
		{[]string{"-mount=old", "db"}, "GET /v1/old/db"},
		{[]string{"ancient/db"}, "GET /v1/ancient/db"}, // the server does not know the question
		{[]string{"-mount=ancient", "db"}, "GET /v1/ancient/db"},
	} {
		got := u.mustRun(t, append([]string{"kv", "get", "-field=user"}, test.args...)...)
		if sent := server.last(t); got.stdout != "app" || sent.line != test.line {
			t.Errorf("%q: got %q by %q, want it by %q", test.args, got.stdout, sent.line, test.line)
		}
	}
	for _, test := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"forbidden/thing"}, exitRemote, "preflight"},
		{[]string{"token/db"}, exitLocal, `type "token"`},
		{[]string{"-mount=secret/team", "db"}, exitLocal, "lies within secret/"},
		{[]string{"secret"}, exitLocal, "not a secret"},
		{[]string{"-version=1", "old/db"}, exitLocal, "version 1"},
		{[]string{"-field=absent", "secret/db"}, exitLocal, "no such field"},
		{[]string{"-mount=secret", "nothing"}, exitRemote, "No value found at secret/data/nothing"},
	} {
		got := u.run(t, append([]string{"kv", "get"}, test.args...)...)
		if got.code != test.code || !strings.Contains(got.stderr, test.want) {
			t.Errorf("%q: exit code %d, stderr %q, want %d and %q", test.args, got.code, got.stderr, test.code, test.want)
		}
	}
}

func TestKVGetOutput(t *testing.T) {
	server := kvServer(t, map[string]reply{
		"GET /v1/secret/data/db":           {200, v2Secret},
		"GET /v1/secret/data/db?version=3": {404, v2Absent},
	})
	u := newUser(t, server.URL)
	got := u.mustRun(t, "kv", "get", "secret/db").stdout
	wantLines(t, got, "== Secret Path ==", "secret/data/db", "======= Metadata =======", "Key Value", "custom_metadata <nil>",
		"deletion_time n/a", "version 3", "==== Data ====", "port 5432", "user app")

	got = u.mustRun(t, "kv", "get", "-version=3", "secret/db").stdout // deleted
	wantLines(t, got, "deletion_time 2026-01-02T03:04:05Z")
	if strings.Contains(got, "= Data =") {
		t.Errorf("data of a deleted version:\n%s", got)
	}
	if got := u.run(t, "kv", "get", "-version=3", "-field=user", "secret/db"); got.code != exitRemote {
		t.Errorf("field of a deleted version: exit code %d, want 2", got.code)
	}

	got = u.mustRun(t, "kv", "get", "-format=json", "secret/db").stdout
	var answer struct {
		Data struct {
			Data     map[string]any
			Metadata struct{ Version int }
		}
	}
	if err := json.Unmarshal([]byte(got), &answer); err != nil || answer.Data.Data["user"] != "app" || answer.Data.Metadata.Version != 3 {
		t.Errorf("got %+v, %v from %s", answer, err, got)
	}
}

func TestKVWrites(t *testing.T) {
	server := kvServer(t, map[string]reply{
		"PUT /v1/secret/data/db":           {200, newV2},
		"PUT /v1/old/db":                   {204, ""},
		"PATCH /v1/secret/data/db":         {200, newV2},
		"DELETE /v1/secret/data/db":        {204, ""},
		"DELETE /v1/old/db":                {204, ""},
		"PUT /v1/secret/delete/db":         {204, ""},
		"PUT /v1/secret/undelete/db":       {204, ""},
		"PUT /v1/secret/destroy/db":        {204, ""},
		"PUT /v1/secret/metadata/db":       {204, ""},
		"DELETE /v1/secret/metadata/db":    {204, ""},
		"GET /v1/secret/metadata/db":       {200, `{"data":{"current_version":3}}`},
		"GET /v1/secret/data/db?version=2": {200, v2Secret},
	})
	u := newUser(t, server.URL)
	fields := map[string]any{"a": "1"}
	versions := map[string]any{"versions": []any{1.0, 2.0}}
	for _, test := range []struct {
		args string
		line string
		body map[string]any
	}{
		{"kv put secret/db a=1", "PUT /v1/secret/data/db", map[string]any{"data": fields}},
		{"kv put -mount=secret -cas=0 db a=1", "PUT /v1/secret/data/db", map[string]any{"data": fields, "options": map[string]any{"cas": 0.0}}},
		{"kv put old/db a=1", "PUT /v1/old/db", fields},
		{"kv patch -cas 3 secret/db a=1", "PATCH /v1/secret/data/db", map[string]any{"data": fields, "options": map[string]any{"cas": 3.0}}},
		{"kv delete secret/db", "DELETE /v1/secret/data/db", nil},
		{"kv delete old/db", "DELETE /v1/old/db", nil},
		{"kv delete -versions=1,2 secret/db", "PUT /v1/secret/delete/db", versions},
		{"kv undelete -versions=1 -versions=2 secret/db", "PUT /v1/secret/undelete/db", versions},
		{"kv destroy -versions=1,2 secret/db", "PUT /v1/secret/destroy/db", versions},
		{"kv rollback -version=2 secret/db", "PUT /v1/secret/data/db", map[string]any{
			"data": map[string]any{"user": "app", "port": 5432.0}, "options": map[string]any{"cas": 3.0},
		}},
		{"kv metadata put -max-versions=5 -cas-required -delete-version-after=1h -custom-metadata=o=me secret/db", "PUT /v1/secret/metadata/db", map[string]any{
			"max_versions": 5.0, "cas_required": true, "delete_version_after": "1h", "custom_metadata": map[string]any{"o": "me"},
		}},
		{"kv metadata delete secret/db", "DELETE /v1/secret/metadata/db", nil},
	} {
		t.Run(test.args, func(t *testing.T) {
			u.mustRun(t, strings.Fields(test.args)...)
			if sent := server.last(t); sent.line != test.line || !reflect.DeepEqual(sent.body, test.body) {
				t.Errorf("sent %s %v, want %s %v", sent.line, sent.body, test.line, test.body)
			}
		})
	}
	for _, args := range []string{
		"kv put -cas=1 old/db a=1", "kv patch old/db a=1", "kv delete -versions=1 old/db",
		"kv undelete -versions=1 old/db", "kv rollback -version=1 old/db", "kv metadata get old/db",
	} {
		if got := u.run(t, strings.Fields(args)...); got.code != exitLocal || !strings.Contains(got.stderr, "version 1") {
			t.Errorf("%s: exit code %d, stderr %q", args, got.code, got.stderr)
		}
	}
}

func TestKVPutOutput(t *testing.T) {
	server := kvServer(t, map[string]reply{"PUT /v1/secret/data/db": {200, newV2}, "PUT /v1/old/db": {204, ""}})
	u := newUser(t, server.URL)
	wantLines(t, u.mustRun(t, "kv", "put", "secret/db", "a=1").stdout, "== Secret Path ==", "secret/data/db", "version 4")
	if got := u.mustRun(t, "kv", "put", "-field=version", "secret/db", "a=1").stdout; got != "4" {
		t.Errorf("-field=version printed %q", got)
	}
	if got := u.mustRun(t, "kv", "put", "old/db", "a=1").stdout; got != "Success! Data written to: old/db\n" {
		t.Errorf("version 1 printed %q", got)
	}
}

func TestKVPutConflict(t *testing.T) {
	server := kvServer(t, map[string]reply{
		"PUT /v1/secret/data/db": {400, `{"errors":["check-and-set parameter did not match the current version"]}`},
	})
	got := newUser(t, server.URL).run(t, "kv", "put", "-cas=1", "secret/db", "password=hunter2")
	if got.code != exitRemote || !strings.Contains(got.stderr, "did not match") || strings.Contains(got.stderr, "hunter2") {
		t.Errorf("exit code %d, stderr %q", got.code, got.stderr)
	}
}

func TestKVList(t *testing.T) {
	server := kvServer(t, map[string]reply{
		"GET /v1/secret/metadata?list=true":      {200, `{"data":{"keys":["a","b/"]}}`},
		"GET /v1/secret/metadata/team?list=true": {200, `{"data":{"keys":["c"]}}`},
		"GET /v1/old?list=true":                  {200, `{"data":{"keys":["d"]}}`},
	})
	u := newUser(t, server.URL)
	for args, want := range map[string]string{
		"kv list secret":              "Keys\n----\na\nb/\n",
		"kv list -mount=secret":       "Keys\n----\na\nb/\n",
		"kv list secret/team/":        "Keys\n----\nc\n",
		"kv list old":                 "Keys\n----\nd\n",
		"kv list -format=json secret": "[\n  \"a\",\n  \"b/\"\n]\n",
	} {
		if got := u.mustRun(t, strings.Fields(args)...).stdout; got != want {
			t.Errorf("%s: got %q, want %q", args, got, want)
		}
	}
	got := u.run(t, "kv", "list", "-format=json", "secret/db")
	if got.code != exitRemote || got.stdout != "{}\n" {
		t.Errorf("empty list: exit code %d, stdout %q", got.code, got.stdout)
	}
}

func TestKVMetadataGet(t *testing.T) {
	server := kvServer(t, map[string]reply{"GET /v1/secret/metadata/db": {200, `{"data":{"current_version":10,"max_versions":0,
		"versions":{"10":{"created_time":"t10","deletion_time":"","destroyed":false},"9":{"created_time":"t9","deletion_time":"","destroyed":true}}}}`}})
	u := newUser(t, server.URL)
	wantLines(t, u.mustRun(t, "kv", "metadata", "get", "secret/db").stdout, "== Metadata Path ==", "secret/metadata/db",
		"current_version 10", "max_versions 0", "====== Version 9 ======", "created_time t9", "destroyed true", "===== Version 10 =====", "created_time t10")
	if got := u.mustRun(t, "kv", "metadata", "get", "-field=current_version", "secret/db").stdout; got != "10" {
		t.Errorf("-field printed %q", got)
	}
}
