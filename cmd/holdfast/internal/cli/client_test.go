package cli

import (
	"flag"
	"io"
	"strings"
	"testing"
)

// connect parses args as the connection flags, in the environment env.
func connect(t *testing.T, env map[string]string, args ...string) (connection, error) {
	t.Helper()
	var c connection
	fs := flag.NewFlagSet("test", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	c.declare(fs)
	if err := fs.Parse(args); err != nil {
		t.Fatalf("parse %q: %v", args, err)
	}
	given := make(map[string]bool)
	fs.Visit(func(f *flag.Flag) { given[f.Name] = true })
	err := c.complete(given, func(name string) string { return env[name] })
	return c, err
}

func TestConnectionPrecedence(t *testing.T) {
	for _, test := range []struct {
		variable, flag string
		value          func(connection) string
	}{
		{"ADDR", "address", func(c connection) string { return c.address }},
		{"CACERT", "ca-cert", func(c connection) string { return c.caCert }},
		{"CAPATH", "ca-path", func(c connection) string { return c.caPath }},
		{"CLIENT_CERT", "client-cert", func(c connection) string { return c.clientCert }},
		{"CLIENT_KEY", "client-key", func(c connection) string { return c.clientKey }},
		{"TLS_SERVER_NAME", "tls-server-name", func(c connection) string { return c.serverName }},
	} {
		t.Run(test.flag, func(t *testing.T) {
			vault := map[string]string{"VAULT_" + test.variable: "http://vault"}
			both := map[string]string{"VAULT_" + test.variable: "http://vault", "HOLDFAST_" + test.variable: "http://holdfast"}
			for _, c := range []struct {
				env  map[string]string
				args []string
				want string
			}{
				{vault, nil, "http://vault"},
				{both, nil, "http://holdfast"},
				{both, []string{"-" + test.flag + "=http://flag"}, "http://flag"},
				{both, []string{"--" + test.flag, "http://flag"}, "http://flag"},
			} {
				got, err := connect(t, c.env, c.args...)
				if err != nil || test.value(got) != c.want {
					t.Errorf("%v %q: got %q, %v, want %q", c.env, c.args, test.value(got), err, c.want)
				}
			}
		})
	}
}

func TestConnectionDefaults(t *testing.T) {
	c, err := connect(t, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := connection{address: "https://127.0.0.1:8200", format: "table"}
	if c != want {
		t.Errorf("got %+v, want %+v", c, want)
	}
}

func TestConnectionSwitches(t *testing.T) {
	c, err := connect(t, map[string]string{"VAULT_SKIP_VERIFY": "true", "HOLDFAST_MAX_RETRIES": "3", "VAULT_MAX_RETRIES": "9", "HOLDFAST_FORMAT": "json"})
	if err != nil || !c.skipVerify || c.maxRetries != 3 || c.format != "json" {
		t.Errorf("got %+v, %v", c, err)
	}
	c, err = connect(t, map[string]string{"HOLDFAST_SKIP_VERIFY": "true", "HOLDFAST_FORMAT": "json"}, "-tls-skip-verify=false", "-format=table")
	if err != nil || c.skipVerify || c.format != "table" {
		t.Errorf("flags against the environment: got %+v, %v", c, err)
	}
}

func TestConnectionErrorsNameTheVariable(t *testing.T) {
	_, err := connect(t, map[string]string{"VAULT_SKIP_VERIFY": "maybe", "HOLDFAST_MAX_RETRIES": "-1", "HOLDFAST_FORMAT": "yaml"})
	if err == nil {
		t.Fatal("want an error")
	}
	for _, want := range []string{"VAULT_SKIP_VERIFY", "HOLDFAST_MAX_RETRIES", "yaml"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q does not mention %s", err, want)
		}
	}
}

func TestServerErrors(t *testing.T) {
	server := newFakeServer(t, map[string]reply{
		"GET /v1/sys/mounts": {403, `{"errors":["permission denied","really"]}`},
	})
	got := newUser(t, server.URL).run(t, "read", "sys/mounts")
	if got.code != exitRemote || got.stdout != "" {
		t.Errorf("exit code %d, stdout %q: want 2 and none", got.code, got.stdout)
	}
	wantLines(t, got.stderr, "URL: GET "+server.URL+"/v1/sys/mounts", "Code: 403. Errors:", "* permission denied", "* really")
	if n := server.count(); n != 1 {
		t.Errorf("%d requests, want 1", n)
	}
}

func TestNoRetriesByDefault(t *testing.T) {
	server := newFakeServer(t, map[string]reply{"GET /v1/sys/mounts": {503, `{"errors":["Vault is sealed"]}`}})
	got := newUser(t, server.URL).run(t, "read", "sys/mounts")
	if n := server.count(); got.code != exitRemote || n != 1 {
		t.Errorf("exit code %d after %d requests, want 2 after 1", got.code, n)
	}
}

func TestPasswordInAddressIsNotShown(t *testing.T) {
	server := newFakeServer(t, map[string]reply{"GET /v1/sys/mounts": {403, `{"errors":["no"]}`}})
	for _, address := range []string{
		strings.Replace(server.URL, "http://", "http://me:hunter2@", 1),
		"http://me:hunter2@127.0.0.1:1",
	} {
		got := newUser(t, address).run(t, "read", "sys/mounts")
		if got.code != exitRemote || strings.Contains(got.stderr, "hunter2") {
			t.Errorf("exit code %d, stderr %q", got.code, got.stderr)
		}
	}
}

func TestPlainServerHint(t *testing.T) {
	server := newFakeServer(t, nil)
	got := newUser(t, strings.Replace(server.URL, "http://", "https://", 1)).run(t, "read", "sys/mounts")
	if got.code != exitRemote || !strings.Contains(got.stderr, "give it an http:// address") {
		t.Errorf("exit code %d, stderr %q", got.code, got.stderr)
	}
}
