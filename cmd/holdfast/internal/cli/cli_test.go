package cli

import (
	"errors"
	"io"
	"strings"
	"testing"
)

func TestEveryCommandHelps(t *testing.T) {
	u := newUser(t, "http://127.0.0.1:1")
	for name, build := range catalogue() {
		t.Run(name, func(t *testing.T) {
			d := build().describe()
			if d.synopsis == "" || !strings.Contains(d.example, "holdfast "+name) {
				t.Errorf("synopsis %q and example %q: want both, the example with the command", d.synopsis, d.example)
			}
			got := u.run(t, append(strings.Fields(name), "-h")...)
			if got.code != exitOK || !strings.Contains(got.stdout, d.synopsis) || !strings.Contains(got.stdout, d.example[:10]) {
				t.Errorf("-h: exit code %d, output:\n%s", got.code, got.stdout)
			}
		})
	}
}

func TestUsageErrors(t *testing.T) {
	u := newUser(t, "http://127.0.0.1:1") // nothing may be sent there
	for _, test := range []struct {
		name string
		args []string
		want string // in stderr
	}{
		{"unknown flag", []string{"status", "-frob"}, "-frob"},
		{"too many arguments", []string{"status", "x"}, "at most 0"},
		{"too few arguments", []string{"kv", "get"}, "at least 1"},
		{"flag after an argument", []string{"kv", "put", "secret/a", "-cas=1", "k=v"}, "-cas before the first argument"},
		{"two dashes after an argument", []string{"kv", "get", "secret/a", "--field=x"}, "-field before"},
		{"no fields", []string{"kv", "put", "secret/a"}, "no fields"},
		{"no versions", []string{"kv", "destroy", "secret/a"}, "-versions"},
		{"bad versions", []string{"kv", "destroy", "-versions=1,x", "secret/a"}, "version numbers"},
		{"bad format", []string{"status", "-format=yaml"}, "table or json"},
		{"address without scheme", []string{"status", "-address=127.0.0.1:8200"}, "http://"},
		{"address without host", []string{"status", "-address=http:"}, "no host"},
		{"dots in a path", []string{"read", "secret/../sys/mounts"}, ".. segment"},
		{"threshold above shares", []string{"operator", "init", "-n=2", "-t=3"}, "threshold of 3"},
		{"key and reset", []string{"operator", "unseal", "-reset", "abc"}, "not both"},
		{"no terminal to ask", []string{"operator", "unseal"}, "not a terminal"},
		{"login method", []string{"login", "-method=userpass", "x"}, "not supported"},
		{"nothing to tune", []string{"secrets", "tune", "secret"}, "nothing to change"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := u.run(t, test.args...)
			if got.code != exitLocal || !strings.Contains(got.stderr, test.want) || got.stdout != "" {
				t.Errorf("exit code %d, stdout %q, stderr %q: want 1 and a message with %q", got.code, got.stdout, got.stderr, test.want)
			}
		})
	}
}

func TestVersion(t *testing.T) {
	got := newUser(t, "").mustRun(t, "version")
	if got.stdout != "Holdfast 1.2.3\n" {
		t.Errorf("got %q", got.stdout)
	}
}

func TestGroupListsItsCommands(t *testing.T) {
	got := newUser(t, "").run(t, "kv")
	if got.code != exitLocal {
		t.Errorf("exit code %d, want 1", got.code)
	}
	for _, want := range []string{"Read and write secrets", "put", "rollback"} {
		if !strings.Contains(got.stderr, want) {
			t.Errorf("no %q in:\n%s", want, got.stderr)
		}
	}
}

// fullDisk is an output that takes nothing.
type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, errors.New("no space left") }

func TestLostOutputIsAnError(t *testing.T) {
	var stderr strings.Builder
	env := Env{Getenv: func(string) string { return "" }, Stdin: strings.NewReader(""), Stdout: io.Writer(fullDisk{}), Stderr: &stderr}
	code := execute(t.Context(), env, "version", &versionCommand{}, nil)
	if code != exitLocal || !strings.Contains(stderr.String(), "no space left") {
		t.Errorf("exit code %d, stderr %q", code, stderr.String())
	}
}
