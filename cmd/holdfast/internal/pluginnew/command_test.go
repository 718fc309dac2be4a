package pluginnew

import (
	"bytes"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/holdfast/holdfast/sdk/template"
)

// run runs the command and returns its exit code and what it printed.
func run(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	c, err := Commands(t.Context(), Env{Stdout: &out, Stderr: &errs})["plugin new"]()
	if err != nil {
		t.Fatal(err)
	}
	return c.Run(args), out.String(), errs.String()
}

// root is the top of this repository.
func root(t *testing.T) string {
	t.Helper()
	_, file, _, ok := runtime.Caller(0)
	if !ok {
		t.Fatal("the test does not know where its source is")
	}
	dir, ok := sourceAbove(filepath.Dir(file))
	if !ok {
		t.Fatalf("no source of Holdfast above %s", file)
	}
	return dir
}

// TestNewWritesTheModule looks at what is written. Test/authors builds and runs it.
func TestNewWritesTheModule(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "deep", "down")
	code, stdout, stderr := run(t, "my-db", dir, "-module", "example.com/me/db")
	if code != 0 || !strings.Contains(stdout, "in "+root(t)) {
		t.Fatalf("exit code %d, %q, %q; want 0 and the directory of the source", code, stdout, stderr)
	}
	err := filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		if strings.Contains(string(text), template.Name) {
			t.Errorf("%s has the name of the skeleton in it", path)
		}
		if strings.Contains(string(text), "TODO") && entry.Name() != "README.md" {
			t.Errorf("%s has something to do in it; the one list is in README.md", path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, wants := range map[string][]string{
		"go.mod": {
			"module example.com/me/db\n", "\ngo 1.", "replace github.com/holdfast/holdfast => " + root(t),
			"\tgithub.com/hashicorp/go-hclog v", "\tgoogle.golang.org/grpc v",
		},
		"go.sum":                   {"google.golang.org/grpc v"},
		"main.go":                  {`Name:    "my-db"`},
		"Makefile":                 {"bin/holdfast-storage-my-db"},
		"README.md":                {"## TODO: what to replace"},
		".github/workflows/ci.yml": {"make certify"},
		".gitignore":               {"/bin/"},
	} {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Error(err)
			continue
		}
		for _, want := range wants {
			if !strings.Contains(string(text), want) {
				t.Errorf("%s: want %q in\n%s", name, want, text)
			}
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "ha.go")); err == nil {
		t.Error("ha.go is there, and is for the author to add")
	}
}

func TestNewRefuses(t *testing.T) {
	full := t.TempDir()
	if err := os.WriteFile(filepath.Join(full, "thesis.tex"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	other := t.TempDir()
	if err := os.WriteFile(filepath.Join(other, "go.mod"), []byte("module example.com/other\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	fresh := filepath.Join(t.TempDir(), "new")
	for _, tt := range []struct {
		what string
		args []string
		want string
	}{
		{"no directory", []string{"mydb"}, "want a name and a directory"},
		{"capitals", []string{"MyDB", fresh}, "want lower-case letters"},
		{"a path", []string{"../mydb", fresh}, "want lower-case letters"},
		{"nothing", []string{"", fresh}, "want lower-case letters"},
		{"the program's name", []string{"holdfast-storage-mydb", fresh}, "plugin new mydb DIR"},
		{"a long name", []string{strings.Repeat("x", 33), fresh}, "the most is 32"},
		{"a module with spaces", []string{"-module", "my module", "mydb", fresh}, "-module example.com/me/mydb"},
		{"our own module", []string{"-module", sdkModule, "mydb", fresh}, "a path of your own"},
		{"a directory in use", []string{"mydb", full}, "is not empty, it has thesis.tex"},
		{"a file", []string{"mydb", filepath.Join(full, "thesis.tex")}, "not a directory"},
		{"a source without go.mod", []string{"-sdk", full, "mydb", fresh}, "it has no go.mod"},
		{"another module's source", []string{"-sdk", other, "mydb", fresh}, "does not begin with module " + sdkModule},
		{"an unknown flag", []string{"-x", "mydb", fresh}, "flag provided but not defined: -x"},
	} {
		code, stdout, stderr := run(t, tt.args...)
		if code != 1 || stdout != "" || !strings.Contains(stderr, tt.want) {
			t.Errorf("%s: exit code %d, %q, %q; want 1 and %q", tt.what, code, stdout, stderr, tt.want)
		}
		if _, err := os.Stat(fresh); err == nil {
			t.Fatalf("%s: something was written", tt.what)
		}
	}
}

func TestSourceIsFoundAboveTheProgram(t *testing.T) {
	source := root(t)
	elsewhere := t.TempDir()
	for _, tt := range []struct {
		what   string
		starts []string
	}{
		{"built by make build", []string{filepath.Join(source, "bin")}},
		{"installed, with the paths of its source", []string{elsewhere, filepath.Join(source, "cmd", "holdfast", "internal", "pluginnew")}},
	} {
		if got, err := findSource("", tt.starts); err != nil || got != source {
			t.Errorf("%s: got %q, %v, want %s", tt.what, got, err, source)
		}
	}
	_, err := findSource("", []string{elsewhere})
	if err == nil || !strings.Contains(err.Error(), "-sdk DIR") || !strings.Contains(err.Error(), elsewhere) {
		t.Errorf("installed, without: got %v, want an error that names -sdk and %s", err, elsewhere)
	}
}

func TestGoModQuotesADirectoryWithSpaces(t *testing.T) {
	r := requirement{goVersion: "1.26.0", direct: map[string]string{}}
	if got, want := r.goMod("mydb", "/home/a b/holdfast"), `=> "/home/a b/holdfast"`+"\n"; !strings.HasSuffix(got, want) {
		t.Errorf("got %q, want it to end in %q", got, want)
	}
}
