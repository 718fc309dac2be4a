package plugin_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/host/plugin"
)

// proc reads a file of /proc about the process pid.
func proc(t *testing.T, pid int, file string) string {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, file))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func wantMatch(t *testing.T, text, pattern string) {
	t.Helper()
	if !regexp.MustCompile("(?m)" + pattern).MatchString(text) {
		t.Errorf("nothing like %q in:\n%s", pattern, text)
	}
}

// The process is confined as the spec says, also the one that is started in its place.
func TestConfinement(t *testing.T) {
	self := proc(t, os.Getpid(), "status")
	wantMatch(t, self, `^NoNewPrivs:\s0$`) // else this test shows nothing
	for _, tt := range []struct {
		name           string
		confinement    plugin.Confinement
		status, limits []string
	}{
		{"by default", plugin.Confinement{}, []string{`^NoNewPrivs:\s1$`}, nil},
		{"with new privileges", plugin.Confinement{NewPrivileges: true}, []string{`^NoNewPrivs:\s0$`}, nil},
		// Less memory would do for a plugin, but not for the race detector in this one.
		{
			"with limits",
			plugin.Confinement{MaxOpenFiles: 77, MaxMemory: 1 << 50},
			[]string{`^NoNewPrivs:\s1$`},
			[]string{`^Max open files\s+77\s+77\s`, `^Max data size\s+1125899906842624\s+1125899906842624\s`},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, _ := open(t, plugin.Spec{Type: "good", Directory: directory(t, "good"), Confinement: tt.confinement, StartTimeout: patience})
			for range 2 {
				pid := pidOf(t, s, "pid")
				for _, pattern := range tt.status {
					wantMatch(t, proc(t, pid, "status"), pattern)
				}
				for _, pattern := range tt.limits {
					wantMatch(t, proc(t, pid, "limits"), pattern)
				}
				if err := s.Write(within(t, patience), put("die")); err == nil {
					t.Error("a write that ends the process succeeded")
				}
			}
		})
	}
	if now := proc(t, os.Getpid(), "status"); strings.Contains(now, "NoNewPrivs:\t1") {
		t.Error("this process has given up new privileges too")
	}
}

// A plugin of another user works, pinned or not, its socket is out of others' reach, and
// nothing of it is left.
func TestPluginOfAnotherUser(t *testing.T) {
	if os.Geteuid() != 0 {
		_, err := plugin.Open(within(t, patience), plugin.Spec{
			Type: "good", Directory: directory(t, "good"), Confinement: plugin.Confinement{User: "root"},
		}, newLog(t))
		if err == nil || !strings.Contains(err.Error(), "only a server that runs as root can") {
			t.Errorf("got %v, want that this needs root", err)
		}
		return
	}
	for _, pinned := range []bool{false, true} {
		t.Run(fmt.Sprintf("pinned %t", pinned), func(t *testing.T) {
			socketDir := sockets(t)
			chmod(t, socketDir, 0o755)
			dir := open0755(t)
			path := filepath.Join(dir, "holdfast-storage-good")
			install(t, path)
			spec := plugin.Spec{Type: "good", Directory: dir, Confinement: plugin.Confinement{User: "nobody"}, StartTimeout: patience}
			if pinned {
				spec.SHA256 = sumOf(t, path)
			}
			s, _ := open(t, spec)
			pid := pidOf(t, s, "pid")
			status := proc(t, pid, "status")
			wantMatch(t, status, `^Uid:\s65534\s65534\s65534\s65534$`)
			wantMatch(t, status, `^Groups:\s*$`)
			if err := s.Write(within(t, patience), put("a")); err != nil {
				t.Error(err)
			}
			ours := filepath.Join(socketDir, entries(t, socketDir)[0])
			if info, err := os.Stat(ours); err != nil || info.Mode().Perm() != 0o711 {
				t.Errorf("%s: %v, %v, want mode 0711", ours, info.Mode(), err)
			}
			inner := filepath.Join(ours, entries(t, ours)[0])
			if info, err := os.Stat(inner); err != nil || info.Mode().Perm() != 0o700 {
				t.Errorf("%s: %v, %v, want mode 0700", inner, info.Mode(), err)
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
			checkNothingLeft(t, socketDir)
		})
	}
}

// Limits for a process of another user take a capability, which containers often lack. Then
// the error names it.
func TestLimitsOfAnotherUser(t *testing.T) {
	if os.Geteuid() != 0 {
		return // see TestPluginOfAnotherUser
	}
	mask := regexp.MustCompile(`CapEff:\s*([0-9a-f]+)`).FindStringSubmatch(proc(t, os.Getpid(), "status"))
	if mask == nil {
		t.Fatal("/proc/self/status does not tell the capabilities")
	}
	capabilities, err := strconv.ParseUint(mask[1], 16, 64)
	if err != nil {
		t.Fatal(err)
	}
	socketDir := sockets(t)
	chmod(t, socketDir, 0o755)
	dir := open0755(t)
	install(t, filepath.Join(dir, "holdfast-storage-good"))
	s, err := plugin.Open(within(t, patience), plugin.Spec{
		Type: "good", Directory: dir, Confinement: plugin.Confinement{User: "nobody", MaxOpenFiles: 77}, StartTimeout: patience,
	}, newLog(t))
	if capabilities&(1<<unix.CAP_SYS_RESOURCE) == 0 {
		if err == nil {
			t.Fatal("opened", s.Close())
		}
		checkOneLine(t, err, "set max_open_files", "CAP_SYS_RESOURCE")
	} else if err != nil {
		t.Fatal(err)
	} else {
		wantMatch(t, proc(t, pidOf(t, s, "pid"), "limits"), `^Max open files\s+77\s+77\s`)
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	checkNothingLeft(t, socketDir)
}

// open0755 returns a directory that every user can get to.
func open0755(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "hfp")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	chmod(t, dir, 0o755)
	return dir
}

func TestConfinementThatIsNotPossible(t *testing.T) {
	for _, tt := range []struct {
		name        string
		confinement plugin.Confinement
		want        []string
	}{
		{"no such user", plugin.Confinement{User: "nobody-of-that-name"}, []string{`find the plugin's user "nobody-of-that-name"`}},
		{"more files than the kernel has", plugin.Confinement{MaxOpenFiles: 1 << 40}, []string{"start plugin", "set max_open_files of the plugin to 1099511627776"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			socketDir := sockets(t)
			s, err := plugin.Open(within(t, patience), plugin.Spec{Type: "good", Directory: directory(t, "good"), Confinement: tt.confinement, StartTimeout: patience}, newLog(t))
			if err == nil {
				t.Fatal("opened", s.Close())
			}
			checkOneLine(t, err, tt.want...)
			checkNothingLeft(t, socketDir)
		})
	}
}
