package sdk

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast/holdfast/sdk/wire"
)

// The test binary is also the plugin: see TestMain in process_test.go.

type outcome struct {
	stdout, stderr string
	err            error
}

func runArgs(t *testing.T, args ...string) outcome {
	t.Helper()
	var stdout, stderr bytes.Buffer
	err := run(t.Context(), memoryPlugin(), process{
		args: args, getenv: func(string) string { return "" }, stdout: &stdout, stderr: &stderr,
	})
	return outcome{stdout.String(), stderr.String(), err}
}

func TestRunByHandExplainsItself(t *testing.T) {
	for _, args := range [][]string{{}, {"bogus"}} {
		got := runArgs(t, args...)
		if got.err == nil || got.stdout != "" || !strings.Contains(got.stderr, "plugin_directory") || !strings.Contains(got.stderr, "describe") {
			t.Errorf("%q: got %+v, want an explanation on stderr and an error", args, got)
		}
	}
	if got := runArgs(t, "-help"); got.err != nil || !strings.Contains(got.stdout, "describe") {
		t.Errorf("-help: got %+v, want the explanation on stdout", got)
	}
}

func TestVersion(t *testing.T) {
	if got := runArgs(t, "version"); got.err != nil || !strings.HasPrefix(got.stdout, "holdfast-storage-memory 1.2.3 (holdfast sdk ") {
		t.Errorf("got %+v", got)
	}
}

func TestDescribe(t *testing.T) {
	got := runArgs(t, "describe")
	var d struct {
		Name, Version, SDK string
		Protocol           int
		Services           []string
		Options            []wire.Option
	}
	if err := json.Unmarshal([]byte(got.stdout), &d); err != nil || got.err != nil {
		t.Fatalf("got %+v, not JSON: %v", got, err)
	}
	if d.Name != "memory" || d.Version != "1.2.3" || d.SDK == "" || d.Protocol != wire.ProtocolVersion || !slices.Equal(d.Services, wire.Services(false)) {
		t.Errorf("got %+v", d)
	}
	var names []string
	for _, o := range d.Options {
		names = append(names, o.Name)
	}
	if want := []string{"address", "token", "closed", "hang", "record", "ha_enabled"}; !slices.Equal(names, want) {
		t.Errorf("options: got %q, want %q", names, want)
	}
}

func TestDocs(t *testing.T) {
	got := runArgs(t, "docs")
	for _, want := range []string{
		"# Storage memory\n",
		"| `address` | string |  | Required. where \\| it is |\n",
		"| `token` | string |  | access token (secret: never shown) |\n",
		"| `ha_enabled` | bool |  | ",
	} {
		if got.err != nil || !strings.Contains(got.stdout, want) {
			t.Errorf("no %q in %+v", want, got)
		}
	}
}

func TestServeIsRefused(t *testing.T) {
	open := t.TempDir()
	if err := os.Chmod(open, 0o755); err != nil {
		t.Fatalf("chmod: %v", err)
	}
	private := t.TempDir()
	if err := os.Chmod(private, 0o700); err != nil {
		t.Fatalf("chmod: %v", err)
	}
	taken := filepath.Join(private, "taken")
	if err := os.WriteFile(taken, nil, 0o600); err != nil {
		t.Fatalf("write: %v", err)
	}
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"serve"}, "serve -debug"},
		{[]string{"serve", "-debug", "x"}, `no argument "x"`},
		{[]string{"serve", "-bogus"}, "bogus"},
		{[]string{"serve", "-debug", "-socket", filepath.Join(open, "s")}, "chmod 700"},
		{[]string{"serve", "-debug", "-socket", taken}, "address already in use"},
	} {
		if got := runArgs(t, test.args...); got.err == nil || !strings.Contains(got.err.Error(), test.want) {
			t.Errorf("%q: got %v, want an error with %q", test.args, got.err, test.want)
		}
	}
}
