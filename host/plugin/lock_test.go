package plugin_test

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/holdfast/holdfast/host/plugin"
)

// sumOf returns the SHA-256 of the file at path, in hex.
func sumOf(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// lock makes the lock file of dir.
func lock(t *testing.T, dir, text string) {
	t.Helper()
	path := filepath.Join(dir, plugin.LockName)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	chmod(t, path, 0o644)
}

func TestReadLock(t *testing.T) {
	a, b := strings.Repeat("a", 64), strings.Repeat("b", 64)
	for _, tt := range []struct {
		name, text string
		want       []string // names, or what the error says
	}{
		{"empty", "", nil},
		{"two", a + "  holdfast-storage-x\n" + strings.ToUpper(b) + " *y", []string{"holdfast-storage-x", "y"}},
		{"no sum", "holdfast-storage-x\n", []string{"plugins.lock, line 1: want the sha256 in hex, two blanks and a file name"}},
		{"short sum", a + "  x\n" + b[:63] + "  y\n", []string{"plugins.lock, line 2: want the sha256"}},
		{"not hex", strings.Repeat("g", 64) + "  x\n", []string{"line 1: want a sha256 of 64 hex digits"}},
		{"one blank", a + " x\n", []string{"line 1: want the sha256"}},
		{"empty line", a + "  x\n\n" + b + "  y\n", []string{"line 2: want the sha256"}},
		{"twice", a + "  x\n" + b + "  y\n" + a + "  x\n", []string{"line 3: x is listed in line 1 already"}},
		{"elsewhere", a + "  ../x\n", []string{`line 1: "../x" is not the name of a file in this directory`}},
		{"absolute", a + "  /bin/x\n", []string{`line 1: "/bin/x" is not the name`}},
		{"from another system", a + "  x\r\n", []string{`line 1: "x\r" is not the name`}},
		{"long", strings.Repeat("x", 2<<20), []string{"larger than 1048576 bytes"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := directory(t)
			lock(t, dir, tt.text)
			got, err := plugin.ReadLock(dir)
			if err != nil {
				checkOneLine(t, err, append(tt.want, plugin.LockName)...)
				return
			}
			if !slices.Equal(got.Names(), tt.want) {
				t.Errorf("got %q, want %q", got.Names(), tt.want)
			}
		})
	}
	none, err := plugin.ReadLock(directory(t))
	if err != nil || len(none.Names()) != 0 {
		t.Errorf("without a lock file: got %v, %v, want nothing pinned", none, err)
	}
}

// What WriteLock writes is what ReadLock reads, and sha256sum checks.
func TestWriteLock(t *testing.T) {
	dir := directory(t, "good", "other")
	sum := sumOf(t, filepath.Join(dir, "holdfast-storage-good"))
	lock(t, dir, "in the way\n")
	want := map[string]string{"holdfast-storage-good": sum, "holdfast-storage-other": sum}
	if err := plugin.WriteLock(dir, want); err != nil {
		t.Fatal(err)
	}
	got, err := plugin.ReadLock(dir)
	if err != nil {
		t.Fatal(err)
	}
	for name := range want {
		if got.SHA256(name) != want[name] {
			t.Errorf("%s: got %q, want %q", name, got.SHA256(name), want[name])
		}
	}
	check := exec.Command("sha256sum", "--strict", "-c", plugin.LockName)
	check.Dir = dir
	if out, err := check.CombinedOutput(); err != nil {
		t.Errorf("sha256sum -c: %v\n%s", err, out)
	}
	if left := entries(t, dir); len(left) != 3 {
		t.Errorf("the directory holds %q", left)
	}
	if err := plugin.WriteLock(dir, map[string]string{"../x": sum}); err == nil {
		t.Error("wrote the name of a file elsewhere")
	}
}

// FuzzLock: what WriteLock takes, ReadLock returns, and nothing else.
func FuzzLock(f *testing.F) {
	f.Add("holdfast-storage-consul", strings.Repeat("a", 64))
	f.Add("x\n"+strings.Repeat("b", 64)+"  y", strings.Repeat("A", 64))
	f.Add("*x", strings.Repeat("a", 63)+" ")
	f.Add(" x/y ", "")
	f.Fuzz(func(t *testing.T, name, sum string) {
		dir := directory(t)
		if err := plugin.WriteLock(dir, map[string]string{name: sum}); err != nil {
			t.Skip()
		}
		got, err := plugin.ReadLock(dir)
		if err != nil || !slices.Equal(got.Names(), []string{name}) || got.SHA256(name) != strings.ToLower(sum) {
			t.Errorf("wrote %q for %q, got %+v, %v", sum, name, got, err)
		}
	})
}

// A program that the lock file lists is held to it, like one pinned by the configuration.
func TestLockedProgram(t *testing.T) {
	zeros := strings.Repeat("0", 64)
	for _, tt := range []struct {
		name    string
		prepare func(t *testing.T, dir, sum string, spec *plugin.Spec)
		want    []string // nil: it runs
	}{
		{"the one", func(t *testing.T, dir, sum string, _ *plugin.Spec) { lock(t, dir, sum+"  holdfast-storage-good\n") }, nil},
		{"the one, pinned twice", func(t *testing.T, dir, sum string, s *plugin.Spec) {
			lock(t, dir, sum+"  holdfast-storage-good\n")
			s.SHA256 = strings.ToUpper(sum)
		}, nil},
		{"not listed", func(t *testing.T, dir, _ string, _ *plugin.Spec) { lock(t, dir, zeros+"  holdfast-storage-other\n") }, nil},
		{
			"another", func(t *testing.T, dir, _ string, _ *plugin.Spec) { lock(t, dir, zeros+"  holdfast-storage-good\n") },
			[]string{"check sha256", "pinned is 000", "plugins.lock, line 1", "holdfast plugin verify -write -plugin-dir"},
		},
		{"another, by its absolute path", func(t *testing.T, dir, _ string, s *plugin.Spec) {
			lock(t, dir, zeros+"  holdfast-storage-good\n")
			s.Command = filepath.Join(dir, "holdfast-storage-good")
		}, []string{"pinned is 000"}},
		{"two pins that differ", func(t *testing.T, dir, sum string, s *plugin.Spec) {
			lock(t, dir, zeros+"  holdfast-storage-good\n")
			s.SHA256 = sum
		}, []string{"by the configuration and to 000", "plugins.lock, line 1", "correct the one that is wrong"}},
		{
			"malformed", func(t *testing.T, dir, sum string, _ *plugin.Spec) { lock(t, dir, sum+" holdfast-storage-good\n") },
			[]string{"plugins.lock, line 1", "as sha256sum prints them"},
		},
		{"writable by others", func(t *testing.T, dir, sum string, _ *plugin.Spec) {
			lock(t, dir, sum+"  holdfast-storage-good\n")
			chmod(t, filepath.Join(dir, plugin.LockName), 0o666)
		}, []string{"lock file", "is writable by", "0666", "chmod go-w"}},
		{"a link", func(t *testing.T, dir, _ string, _ *plugin.Spec) {
			link(t, "/dev/null", filepath.Join(dir, plugin.LockName))
		}, []string{"lock file", "is a link"}},
		{"a pipe", func(t *testing.T, dir, _ string, _ *plugin.Spec) {
			if err := syscall.Mkfifo(filepath.Join(dir, plugin.LockName), 0o644); err != nil {
				t.Fatal(err)
			}
		}, []string{"lock file", "is not a regular file"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := directory(t, "good")
			spec := plugin.Spec{Type: "good", Directory: dir, Args: []string{"good"}, StartTimeout: patience}
			tt.prepare(t, dir, sumOf(t, filepath.Join(dir, "holdfast-storage-good")), &spec)
			s, err := plugin.Open(within(t, patience), spec, newLog(t))
			switch {
			case err == nil:
				if cerr := s.Close(); tt.want != nil || cerr != nil {
					t.Errorf("opened, want an error with %q; close: %v", tt.want, cerr)
				}
			case tt.want == nil:
				t.Error(err)
			default:
				checkOneLine(t, err, tt.want...)
			}
		})
	}
}

// The log says of a plugin once, when it is opened, how far it is pinned.
func TestTrustIsLogged(t *testing.T) {
	for _, tt := range []struct {
		name    string
		prepare func(t *testing.T, dir string, spec *plugin.Spec)
		want    string
	}{
		{"not pinned", func(*testing.T, string, *plugin.Spec) {}, "[INFO]  plugin.good: plugin is not pinned"},
		{"pinned", func(t *testing.T, dir string, s *plugin.Spec) {
			s.SHA256 = sumOf(t, filepath.Join(dir, "holdfast-storage-good"))
		}, "[INFO]  plugin.good: plugin is pinned: what runs"},
		{"pinned script", func(t *testing.T, dir string, s *plugin.Spec) {
			s.Command = "wrapper"
			text := "#!/bin/sh\nexec '" + filepath.Join(dir, "holdfast-storage-good") + "'\n"
			if err := os.WriteFile(filepath.Join(dir, s.Command), []byte(text), 0o755); err != nil {
				t.Fatal(err)
			}
			lock(t, dir, sumOf(t, filepath.Join(dir, s.Command))+"  wrapper\n")
		}, "[WARN]  plugin.good: plugin is pinned and executed by name, as scripts are"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := directory(t, "good")
			spec := plugin.Spec{Type: "good", Directory: dir, StartTimeout: patience}
			tt.prepare(t, dir, &spec)
			s, logger := open(t, spec)
			send(t, s.Info().PID, syscall.SIGKILL)
			pidOf(t, s, "pid") // it was started again
			if got := strings.Count(logger.String(), tt.want); got != 1 {
				t.Errorf("the log has %q %d times, want once", tt.want, got)
			}
		})
	}
}

// A pinned plugin whose file was changed is not started again when it dies: the server
// stays up, says why, and goes on when the file is put right.
func TestChangedPinnedPlugin(t *testing.T) {
	dir := directory(t, "good")
	program, right := filepath.Join(dir, "holdfast-storage-good"), filepath.Join(dir, "right")
	lock(t, dir, sumOf(t, program)+"  holdfast-storage-good\n")
	s, _ := open(t, plugin.Spec{Type: "good", Directory: dir, StartTimeout: patience})
	rename(t, program, right)
	if err := os.WriteFile(program, []byte("#!/bin/sh\necho somebody else was here >&2\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	send(t, s.Info().PID, syscall.SIGKILL)
	eventually(t, "a restart that is refused", func() bool {
		err := s.Info().LastError
		return err != nil && strings.Contains(err.Error(), "check sha256")
	})
	checkOneLine(t, s.Info().LastError, program, "install the pinned program", "plugins.lock, line 1")
	rename(t, right, program)
	if err := s.Write(within(t, patience), put("a")); err != nil {
		t.Errorf("after the program was put right: %v", err)
	}
}
