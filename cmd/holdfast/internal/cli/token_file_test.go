package cli

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestTokenFileRoundTrip(t *testing.T) {
	path := filepath.Join(t.TempDir(), tokenFile)
	if _, err := readToken(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("read without a file: %v, want fs.ErrNotExist", err)
	}
	for _, want := range []string{"first", "second"} {
		if err := writeToken(path, want); err != nil {
			t.Fatal(err)
		}
		if got, err := readToken(path); err != nil || got != want {
			t.Errorf("got %q, %v, want %q", got, err, want)
		}
	}
	left, err := filepath.Glob(filepath.Join(filepath.Dir(path), ".*"))
	if err != nil || len(left) != 1 {
		t.Errorf("files left: %q, %v, want the token file only", left, err)
	}
}

func TestTokenFileReplacesLooseMode(t *testing.T) {
	path := filepath.Join(t.TempDir(), tokenFile)
	if err := os.WriteFile(path, []byte("old"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := writeToken(path, "new"); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o600 {
		t.Errorf("mode %v, %v, want 0600", info.Mode(), err)
	}
}

func TestTokenFileRefusals(t *testing.T) {
	for _, test := range []struct {
		name    string
		create  func(path string) error
		read    string // in the error of reading
		mayHave bool   // writing may replace it
	}{
		{"readable by the group", func(p string) error {
			return errors.Join(os.WriteFile(p, []byte("hunter2"), 0o600), os.Chmod(p, 0o640))
		}, "chmod 600", true},
		{"writable by all", func(p string) error {
			return errors.Join(os.WriteFile(p, []byte("hunter2"), 0o600), os.Chmod(p, 0o602))
		}, "chmod 600", true},
		{"too large", func(p string) error { return os.WriteFile(p, []byte(strings.Repeat("x", maxTokenFile+1)), 0o600) }, "larger", true},
		{"symbolic link", func(p string) error {
			return errors.Join(os.WriteFile(p+"x", []byte("hunter2"), 0o600), os.Symlink(p+"x", p))
		}, "symbolic link", false},
		{"directory", func(p string) error { return os.Mkdir(p, 0o700) }, "not a regular file", false},
		{"named pipe", func(p string) error { return syscall.Mkfifo(p, 0o600) }, "not a regular file", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), tokenFile)
			if err := test.create(path); err != nil {
				t.Fatal(err)
			}
			token, err := readToken(path)
			if err == nil || !strings.Contains(err.Error(), test.read) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("read: got %q, %v, want an error with %q", token, err, test.read)
			}
			if err := writeToken(path, "new"); (err == nil) != test.mayHave {
				t.Errorf("write: %v, want success %v", err, test.mayHave)
			}
		})
	}
}

func TestTokenPath(t *testing.T) {
	for home, ok := range map[string]bool{"/home/me": true, "": false, "relative": false} {
		path, err := tokenPath(func(string) string { return home })
		if (err == nil) != ok || ok && path != "/home/me/.holdfast-token" {
			t.Errorf("HOME=%q: got %q, %v", home, path, err)
		}
	}
}
