// Package harness runs whole Holdfast clusters for tests: real server processes, with
// real plugins, on real stores.
package harness

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
)

// built is where Main has built the programs.
var built struct { //nolint:gochecknoglobals // written once by Main, before any test
	once sync.Once
	tags string
	dir  string
	err  error
}

// Main is the TestMain of a package that uses Binaries: it removes what was built. The
// programs are built with the build tags.
func Main(m *testing.M, tags ...string) { os.Exit(Run(m, tags...)) }

// Run is Main for a package that has something to remove itself; it returns the exit code.
func Run(m *testing.M, tags ...string) int {
	built.tags = strings.Join(tags, ",")
	code := m.Run()
	if built.dir != "" {
		_ = os.RemoveAll(built.dir)
	}
	return code
}

// Root returns the top of the repository.
func Root() string {
	_, file, _, ok := runtime.Caller(0)
	if !ok {
		panic("harness: the test binary does not say where its sources are")
	}
	return filepath.Dir(filepath.Dir(filepath.Dir(file)))
}

// Binaries builds the programs of this repository, with the race detector if the test
// has it, once in a test process. It returns the directory that holds holdfast, and
// plugins/ beside it.
func Binaries(t testing.TB) string {
	t.Helper()
	built.once.Do(func() { built.dir, built.err = buildAll() })
	if built.err != nil {
		t.Fatal(built.err)
	}
	return built.dir
}

func buildAll() (string, error) {
	dir, err := os.MkdirTemp("", "holdfast-bin-")
	if err != nil {
		return "", err
	}
	mains, err := filepath.Glob(filepath.Join(Root(), "cmd", "*"))
	if err != nil {
		return dir, err
	}
	for _, pkg := range mains {
		out := filepath.Join(dir, filepath.Base(pkg))
		if strings.HasPrefix(filepath.Base(pkg), "holdfast-storage-") {
			out = filepath.Join(dir, "plugins", filepath.Base(pkg))
		}
		if err := build(out, pkg, built.tags); err != nil {
			return dir, err
		}
	}
	return dir, nil
}

func build(out, pkg, tags string) error {
	args := []string{"build", "-tags", tags, "-o", out}
	if raceEnabled {
		args = append(args, "-race")
	}
	cmd := exec.Command("go", append(args, pkg)...)
	cmd.Dir = Root()
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s: %w\n%s", pkg, err, text)
	}
	return nil
}

// Holdfast builds the server and client alone, with the race detector if the test has it, for tests
// that bring a plugin of their own. It returns the directory of the program.
func Holdfast(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	if err := build(filepath.Join(dir, "holdfast"), filepath.Join(Root(), "cmd", "holdfast"), ""); err != nil {
		t.Fatal(err)
	}
	return dir
}

// Previous builds the server as the release before this one: what it shares with other nodes
// is one version older. See package version.
func Previous(t testing.TB) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), "holdfast-previous")
	if err := build(out, filepath.Join(Root(), "cmd", "holdfast"), "holdfast_previous"); err != nil {
		t.Fatal(err)
	}
	return out
}
