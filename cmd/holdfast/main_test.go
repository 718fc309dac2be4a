package main

import (
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestRunExitCodes(t *testing.T) {
	getenv := func(string) string { return "" }
	for _, test := range []struct {
		args []string
		code int
		want string // in stdout and stderr
	}{
		{[]string{"version"}, 0, "Holdfast "},
		{[]string{"--version"}, 0, "Holdfast "},
		{[]string{"--help"}, 0, "operator"},
		{nil, 127, "Usage: holdfast"},
		{[]string{"frobnicate"}, 127, "Usage: holdfast"},
		{[]string{"operator"}, 1, "step-down"},
		{[]string{"plugin"}, 1, "verify"},
		{[]string{"plugin", "list"}, 1, "say where the plugins are"},
		{[]string{"status", "-address=gopher://x"}, 1, "http://"},
	} {
		var out strings.Builder
		code := run(t.Context(), test.args, getenv, strings.NewReader(""), &out, &out)
		if code != test.code || !strings.Contains(out.String(), test.want) {
			t.Errorf("%q: exit code %d, output:\n%s\nwant %d and %q", test.args, code, out.String(), test.code, test.want)
		}
	}
}

// A VAULT_* variable for another server must not get in the way, however bad it is.
func TestHoldfastVariablesWinOverVaults(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if namespace := r.Header.Get("X-Vault-Namespace"); namespace != "" {
			t.Errorf("sent namespace %q", namespace)
		}
		if token := r.Header.Get("X-Vault-Token"); token != "ours" {
			t.Errorf("sent token %q, want ours", token)
		}
		fmt.Fprint(w, `{"data":{"k":"v"}}`)
	}))
	defer server.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	block := &pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}
	if err := os.WriteFile(ca, pem.EncodeToMemory(block), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{
		"VAULT_ADDR": "http://127.0.0.1:1", "HOLDFAST_ADDR": server.URL,
		"VAULT_CACERT": "/does/not/exist", "HOLDFAST_CACERT": ca,
		"VAULT_TOKEN": "theirs", "HOLDFAST_TOKEN": "ours",
		"VAULT_SKIP_VERIFY": "garbage", "HOLDFAST_SKIP_VERIFY": "false",
		"VAULT_MAX_RETRIES": "garbage", "HOLDFAST_MAX_RETRIES": "0",
		"VAULT_AGENT_ADDR": "http://127.0.0.1:1", "VAULT_NAMESPACE": "elsewhere",
	} {
		t.Setenv(name, value)
	}
	var stdout, stderr strings.Builder
	code := run(t.Context(), []string{"read", "-field=k", "a/b"}, takeEnvironment(), strings.NewReader(""), &stdout, &stderr)
	if code != 0 || stdout.String() != "v" {
		t.Errorf("exit code %d, stdout %q, stderr %q", code, stdout.String(), stderr.String())
	}
}

func TestTakeEnvironment(t *testing.T) {
	t.Setenv("VAULT_ADDR", "http://vault")
	t.Setenv("HOLDFAST_ADDR", "http://holdfast")
	getenv := takeEnvironment()
	if getenv("VAULT_ADDR") != "http://vault" || getenv("HOLDFAST_ADDR") != "http://holdfast" || getenv("HOLDFAST_NONE") != "" {
		t.Error("the copy differs from the environment")
	}
	if _, left := os.LookupEnv("VAULT_ADDR"); left {
		t.Error("the client library can still see VAULT_ADDR")
	}
	if os.Getenv("HOLDFAST_ADDR") == "" {
		t.Error("HOLDFAST_ADDR was removed")
	}
}
