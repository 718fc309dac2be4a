package pluginshell

import (
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// installed builds the plugin inmem and returns its path.
func installed(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "holdfast-storage-inmem")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", path, "github.com/holdfast/holdfast/cmd/holdfast-storage-inmem")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the plugin: %v\n%s", err, out)
	}
	return path
}

// version is what differs from run to run.
var version = regexp.MustCompile(`at version "[^"]+"`)

func TestShell(t *testing.T) {
	path := installed(t)
	for name, tt := range map[string]struct {
		input  string
		output []string // versions are replaced by V
		code   int
	}{
		"write and read": {
			input:  "write put a/b 1 put a/c \"two words\\x00\"\nget a/c\nlist\nlist a/\nlist a/ b 1\nlist a/ c",
			output: []string{"written", `"two words\x00" at version "V"`, `"a/"`, `"b"`, `"c"`, `"c"`},
		},
		"commit and watch": {
			input:  "commit g \"\" first put k v\nwatch g \"\"\nget k",
			output: []string{`committed; "g" is at version "V"`, `"first" at version "V"`, `"v" at version "V"`},
		},
		"conflict": {
			input:  "commit g 99 x\nget g",
			output: []string{"commit: conflict", "get: not found"},
			code:   1,
		},
		"what is no call": {
			input:  "\nget\n\"open\nwrite push k v\nlist a/ \"\" many\nexit\nget after",
			output: []string{"error: get with 0", "error: a quoted word", `error: op 1 begins with "push"`, `error: limit "many"`},
			code:   1,
		},
	} {
		t.Run(name, func(t *testing.T) {
			var stdout, stderr strings.Builder
			c := &command{ctx: t.Context(), env: Env{Stdin: strings.NewReader(tt.input), Stdout: &stdout, Stderr: &stderr}}
			if code := c.Run([]string{path}); code != tt.code {
				t.Errorf("exit code %d, want %d; standard error:\n%s", code, tt.code, &stderr)
			}
			got := strings.Split(strings.TrimSuffix(version.ReplaceAllString(stdout.String(), `at version "V"`), "\n"), "\n")
			if !slices.EqualFunc(got, tt.output, strings.Contains) {
				t.Errorf("printed %q, want lines with %q", got, tt.output)
			}
		})
	}
}

func TestBadCommandLine(t *testing.T) {
	for _, args := range [][]string{
		nil,
		{"a", "b"},
		{"-attach=unix:///x", "a"},
		{"-config=novalue", "a"},
		{"-timeout=0s", "a"},
		{"-log-level=loud", "a"},
		{"/nowhere/holdfast-storage-inmem"},
		{"-type=other", installed(t)},
	} {
		var stderr strings.Builder
		c := &command{ctx: t.Context(), env: Env{Stdin: strings.NewReader(""), Stdout: &stderr, Stderr: &stderr}}
		if code := c.Run(args); code != 1 || !strings.Contains(stderr.String(), "Error: ") {
			t.Errorf("%q: exit code %d and %q, want 1 and an error", args, code, stderr.String())
		}
	}
}

func FuzzSplit(f *testing.F) {
	f.Add(`get "a b" c`)
	f.Fuzz(func(t *testing.T, line string) {
		words, err := split(line)
		if err != nil {
			return
		}
		quoted := make([]string, len(words))
		for i, w := range words {
			quoted[i] = strconv.Quote(w)
		}
		again, err := split(strings.Join(quoted, " "))
		if err != nil || !slices.Equal(again, words) {
			t.Errorf("%q: %q, then %q, %v", line, words, again, err)
		}
	})
}
