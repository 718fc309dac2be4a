package plugin_test

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast/holdfast/host/plugin"
)

type refusal struct {
	name    string
	prepare func(t *testing.T, dir string, spec *plugin.Spec)
	want    []string // in the error
}

func TestOpenRefusesProgram(t *testing.T) {
	refusals := []refusal{
		{"type is a path", func(_ *testing.T, _ string, s *plugin.Spec) { s.Type = "../good" }, []string{"not a name"}},
		{"no directory set", func(_ *testing.T, _ string, s *plugin.Spec) { s.Directory = "" }, []string{"set plugin_directory"}},
		{"directory missing", func(_ *testing.T, dir string, s *plugin.Spec) { s.Directory = dir + "/none" }, []string{"directory", "/none does not exist"}},
		{"directory is a file", func(_ *testing.T, dir string, s *plugin.Spec) { s.Directory = dir + "/holdfast-storage-good" }, []string{"is not a directory"}},
		{"plugin missing", func(_ *testing.T, _ string, s *plugin.Spec) { s.Type = "etcd" }, []string{"holdfast-storage-etcd does not exist", "holds storage plugins for: good, other"}},
		{"plugin missing from an empty directory", func(t *testing.T, _ string, s *plugin.Spec) { s.Directory = directory(t) }, []string{"does not exist", "holds no storage plugins"}},
		{"plugin is a directory", func(t *testing.T, dir string, s *plugin.Spec) {
			if err := os.Mkdir(filepath.Join(dir, "holdfast-storage-dir"), 0o755); err != nil {
				t.Fatal(err)
			}
			s.Type = "dir"
		}, []string{"is a directory, not a program"}},
		{"not executable", func(t *testing.T, dir string, s *plugin.Spec) { script(t, dir, s, "#!/bin/sh\n", 0o644) }, []string{"not executable", "chmod 0755"}},
		{"group-writable", func(t *testing.T, dir string, s *plugin.Spec) { script(t, dir, s, "#!/bin/sh\n", 0o775) }, []string{"writable by its group", "0775", "chmod go-w"}},
		{"world-writable directory", func(t *testing.T, dir string, _ *plugin.Spec) { chmod(t, dir, 0o757) }, []string{"plugin directory", "writable by", "0757"}},
		{"link out of the directory", func(t *testing.T, dir string, s *plugin.Spec) {
			link(t, filepath.Join(directory(t, "good"), "holdfast-storage-good"), filepath.Join(dir, "holdfast-storage-link"))
			s.Type = "link"
		}, []string{"link that leaves its directory"}},
		{"command out of the directory", func(_ *testing.T, _ string, s *plugin.Spec) { s.Command = "../x" }, []string{"leaves the plugin directory"}},
		{"wrong machine", func(t *testing.T, dir string, s *plugin.Spec) { script(t, dir, s, "\x7fELF but not really", 0o755) }, []string{"start plugin", "not a program for this machine", "exec format error"}},
		{"built for another machine", func(t *testing.T, dir string, s *plugin.Spec) { script(t, dir, s, vaxProgram, 0o755) }, []string{"start plugin", "built for machine VAX, and this one is ", "install the build for this one"}},
		{"interpreter missing", func(t *testing.T, dir string, s *plugin.Spec) { script(t, dir, s, "#!/no/such/python\n", 0o755) }, []string{"start plugin", "interpreter"}},
		{"pin is not a sha256", func(_ *testing.T, _ string, s *plugin.Spec) { s.SHA256 = "abc" }, []string{"not a sha256"}},
		{"pinned to something else", func(_ *testing.T, _ string, s *plugin.Spec) { s.SHA256 = strings.Repeat("0", 64) }, []string{"check sha256", "pinned is 000"}},
		{"variable without a value", func(_ *testing.T, _ string, s *plugin.Spec) { s.Env = []string{"SECRET"} }, []string{"NAME=value"}},
	}
	if os.Geteuid() == 0 { // nobody else can give files away
		refusals = append(refusals, refusal{"somebody else's", func(t *testing.T, dir string, s *plugin.Spec) {
			script(t, dir, s, "#!/bin/sh\n", 0o755)
			if err := os.Chown(filepath.Join(dir, "holdfast-storage-script"), 4711, 4711); err != nil {
				t.Fatal(err)
			}
		}, []string{"belongs to user 4711"}})
	}
	for _, tt := range refusals {
		t.Run(tt.name, func(t *testing.T) {
			dir := directory(t, "good", "other")
			spec := plugin.Spec{Type: "good", Directory: dir}
			tt.prepare(t, dir, &spec)
			s, err := plugin.Open(within(t, patience), spec, newLog(t))
			if err == nil {
				t.Fatal("opened", s.Close())
			}
			checkOneLine(t, err, tt.want...)
		})
	}
}

// vaxProgram is the head of an executable, for a machine that nobody emulates: ELF, 32 bits, little-endian,
// version 1; type 2 (executable), machine 75, version 1.
const vaxProgram = "\x7fELF\x01\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\x4b\x00\x01\x00\x00\x00"

// script makes a plugin "script" of the given text and mode and lets spec mean it.
func script(t *testing.T, dir string, spec *plugin.Spec, text string, mode os.FileMode) {
	t.Helper()
	path := filepath.Join(dir, "holdfast-storage-script")
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	chmod(t, path, mode)
	spec.Type = "script"
}

func link(t *testing.T, target, path string) {
	t.Helper()
	if err := os.Symlink(target, path); err != nil {
		t.Fatal(err)
	}
}

// checkOneLine checks that err is for people: one line that contains each of want.
func checkOneLine(t *testing.T, err error, want ...string) {
	t.Helper()
	text := err.Error()
	if strings.Contains(text, "\n") || len(text) > 2000 {
		t.Errorf("error is not one line: %q", text)
	}
	for _, part := range want {
		if !strings.Contains(text, part) {
			t.Errorf("got error %q, want %q in it", text, part)
		}
	}
}

func TestOpenPinnedProgram(t *testing.T) {
	dir := directory(t, "good")
	text, err := os.ReadFile(filepath.Join(dir, "holdfast-storage-good"))
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(text)
	s, _ := open(t, plugin.Spec{Type: "good", Directory: dir, SHA256: strings.ToUpper(hex.EncodeToString(sum[:]))})
	if got, want := about(t, s, "args"), filepath.Join(dir, "holdfast-storage-good"); got != want {
		t.Errorf("plugin was started as %q, want %q", got, want)
	}
}

func TestOpenCommand(t *testing.T) {
	dir := directory(t, "good")
	link(t, "holdfast-storage-good", filepath.Join(dir, "holdfast-storage-alias"))
	for _, command := range []string{"holdfast-storage-alias", filepath.Join(dir, "holdfast-storage-good")} {
		s, _ := open(t, plugin.Spec{Type: "good", Directory: dir, Command: command, Args: []string{"good", "with", "words"}})
		if got := about(t, s, "args"); !strings.HasSuffix(got, "good\nwith\nwords") {
			t.Errorf("%s: got arguments %q", command, got)
		}
	}
}

func TestList(t *testing.T) {
	dir := directory(t, "zookeeper", "consul")
	for _, name := range []string{"README", "holdfast-storage-", "holdfast-storage-Bad.old"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got, err := plugin.List(dir)
	if want := []string{"consul", "zookeeper"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
	if _, err := plugin.List(dir + "/none"); err == nil {
		t.Error("listed a directory that does not exist")
	}
}
