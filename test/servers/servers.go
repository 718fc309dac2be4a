// Package servers runs the real storage servers that tests need: on loopback, on
// ports of their own, with a data directory that goes away with the test.
//
// `make servers` installs the binaries. A test that finds none fails and says so;
// it is never skipped.
package servers

import (
	"bufio"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// module is the line by which the root of this repository is recognised.
const module = "module github.com/holdfast/holdfast"

// binary returns the path of an installed server and fails t if it is missing.
func binary(t testing.TB, name string) string {
	t.Helper()
	root, err := repositoryRoot()
	if err != nil {
		t.Fatalf("find the real %s server: %v", name, err)
	}
	path := filepath.Join(root, ".servers", "bin", name)
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("the real %s server is not installed (%v): run `make servers`", name, err)
	}
	return path
}

// repositoryRoot walks up from the working directory, which `go test` sets to the
// directory of the package under test.
func repositoryRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if isRoot(filepath.Join(dir, "go.mod")) {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("the working directory is not inside the holdfast repository")
		}
		dir = parent
	}
}

func isRoot(goMod string) bool {
	f, err := os.Open(goMod)
	if err != nil {
		return false
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if strings.TrimSpace(lines.Text()) == module {
			return true
		}
	}
	return false
}
