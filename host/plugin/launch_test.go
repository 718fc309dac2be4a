package plugin_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast/holdfast/host/plugin"
	"github.com/holdfast/holdfast/sdk/storage"
	"github.com/holdfast/holdfast/sdk/wire"
)

// Whatever a plugin does instead of serving, Open says so in one line, soon, and leaves neither
// a process nor a socket directory.
func TestOpenFails(t *testing.T) {
	for _, tt := range []struct {
		mode string
		want []string
		is   error
	}{
		{"crash", []string{"start plugin", "exit status 3", "no such cluster: atlantis"}, nil},
		{"panic", []string{"start plugin", "exit status 2", "panic: index of the third kind"}, nil},
		{"hang", []string{"start plugin", "no handshake in time", "still thinking"}, nil},
		{"garbage", []string{"start plugin", "ended before its handshake", "exit status 0", `printed "hello from a library" to stdout instead`}, nil},
		{"tcp", []string{"start plugin", "listens on tcp: want a unix socket"}, nil},
		{"netrpc", []string{"start plugin", "does not say that it speaks gRPC"}, nil},
		{"mute", []string{"describe plugin"}, storage.ErrUnavailable},
		{"future", []string{"start plugin", "plugin speaks protocol 2, this host speaks 1: upgrade the host"}, nil},
		{"small", []string{"configure plugin", "MaxOps is 1, want at least 16"}, wire.ErrBroken},
		{"refuse", []string{"configure plugin", "address: want a URL"}, wire.ErrInvalidConfig},
		{"crash-configure", []string{"configure plugin", "exit status 2", "panic: configured into a corner"}, storage.ErrUnavailable},
	} {
		t.Run(tt.mode, func(t *testing.T) {
			socketDir := sockets(t)
			logger := newLog(t)
			timeout := patience // the others fail by themselves, which takes its time on a busy machine
			if tt.mode == "hang" {
				timeout = 3 * time.Second
			}
			s, err := plugin.Open(within(t, patience), plugin.Spec{
				Type: "good", Directory: directory(t, "good"), Args: []string{tt.mode}, StartTimeout: timeout,
			}, logger)
			if err == nil {
				t.Fatal("opened", s.Close())
			}
			checkOneLine(t, err, append(tt.want, `open storage "good"`)...)
			if tt.is != nil && !errors.Is(err, tt.is) {
				t.Errorf("got %v, want it to wrap %v", err, tt.is)
			}
			checkNothingLeft(t, socketDir)
		})
	}
}

// checkNothingLeft checks that no socket directory is left and that every child was reaped.
func checkNothingLeft(t *testing.T, socketDir string) {
	t.Helper()
	if left := entries(t, socketDir); len(left) != 0 {
		t.Errorf("left in the socket directory: %q", left)
	}
	if left := children(t); len(left) != 0 {
		t.Errorf("children left: %q", left)
	}
}

// children returns the processes whose parent is this one, zombies among them.
func children(t *testing.T) []string {
	t.Helper()
	lists, err := filepath.Glob("/proc/self/task/*/children")
	if err != nil {
		t.Fatal(err)
	}
	var pids []string
	for _, list := range lists {
		text, err := os.ReadFile(list)
		if err != nil && !errors.Is(err, os.ErrNotExist) && !errors.Is(err, syscall.ESRCH) {
			t.Fatal(err)
		}
		pids = append(pids, strings.Fields(string(text))...)
	}
	return pids
}

func TestOpenWrongName(t *testing.T) {
	_, err := plugin.Open(within(t, patience), plugin.Spec{Type: "other", Directory: directory(t, "other")}, newLog(t))
	if err == nil {
		t.Fatal("opened a plugin of another type")
	}
	checkOneLine(t, err, `describes itself as "good", want "other"`)
}

// The caller's context bounds each step of Open.
func TestOpenEndsWithContext(t *testing.T) {
	for _, mode := range []string{"hang", "slow-configure"} {
		t.Run(mode, func(t *testing.T) {
			socketDir := sockets(t)
			ctx, cancel := context.WithCancel(t.Context())
			logger := newLog(t)
			time.AfterFunc(time.Second, cancel)
			began := time.Now()
			_, err := plugin.Open(ctx, plugin.Spec{
				Type: "good", Directory: directory(t, "good"), Args: []string{mode}, StartTimeout: time.Minute,
			}, logger)
			if !errors.Is(err, context.Canceled) {
				t.Errorf("got %v, want the context's error", err)
			}
			if took := time.Since(began); took > patience {
				t.Errorf("took %v after the context had ended", took)
			}
			checkNothingLeft(t, socketDir)
		})
	}
}

// What a plugin prints is logged, at the level it says, and does not disturb.
func TestOutputIsLogged(t *testing.T) {
	s, logger := open(t, plugin.Spec{Type: "good", Directory: directory(t, "good"), Args: []string{"noisy"}})
	if _, err := s.Get(within(t, patience), "about/pid"); err != nil {
		t.Errorf("noisy plugin does not work: %v", err)
	}
	for _, want := range []string{
		"[INFO]  plugin.good: plugin printed to stdout: line=\"hello from a library\"",
		"line=\"1|not a handshake\"",
		strings.Repeat("x", 200<<10),
		"[WARN]  plugin.good: long entry: text=" + strings.Repeat("y", 100<<10),
		"plugin printed to stderr: line=\"plain words\"",
	} {
		eventually(t, want[:min(len(want), 60)]+" in the log", func() bool { return strings.Contains(logger.String(), want) })
	}
}

// A plugin sees nothing of the host's environment: only what the protocol needs and what
// the operator gives it, which can not change the former.
func TestEnvironment(t *testing.T) {
	t.Setenv("HOLDFAST_CANARY", "leaked")
	s, _ := open(t, plugin.Spec{
		Type: "good", Directory: directory(t, "good"),
		Env: []string{"CONSUL_HTTP_TOKEN=a=b", wire.LogLevelKey + "=off"},
	})
	var names []string
	for variable := range strings.Lines(about(t, s, "env")) {
		variable = strings.TrimSpace(variable)
		name, value, _ := strings.Cut(variable, "=")
		names = append(names, name)
		if want, ok := map[string]string{
			"CONSUL_HTTP_TOKEN": "a=b",
			wire.LogLevelKey:    "trace",
			wire.CookieKey:      wire.CookieValue,
			wire.HostPIDFDKey:   "3",
		}[name]; ok && value != want {
			t.Errorf("%s is %q, want %q", name, value, want)
		}
	}
	slices.Sort(names)
	want := []string{
		"CONSUL_HTTP_TOKEN", wire.HostPIDFDKey, wire.LogLevelKey, wire.CookieKey,
		"PLUGIN_MAX_PORT", "PLUGIN_MIN_PORT", "PLUGIN_PROTOCOL_VERSIONS", "PLUGIN_UNIX_SOCKET_DIR",
	}
	if !slices.Equal(names, want) {
		t.Errorf("plugin sees %q, want %q", names, want)
	}
	if !s.Info().LastWill {
		t.Error("plugin does not hold the host's descriptor")
	}
}

// A path that is too long for a socket is not used, whatever the environment says.
func TestSocketPathIsShort(t *testing.T) {
	long := filepath.Join(t.TempDir(), strings.Repeat("long", 25))
	if err := os.Mkdir(long, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("XDG_RUNTIME_DIR", long)
	t.Setenv("TMPDIR", long)
	s, _ := open(t, plugin.Spec{Type: "good", Directory: directory(t, "good")})
	if _, err := s.Get(within(t, patience), "about/pid"); err != nil {
		t.Error(err)
	}
}

// A killed host leaves no plugin, and the next host removes its sockets; those of a host
// that lives stay.
func TestHostKilled(t *testing.T) {
	socketDir := sockets(t)
	dir := directory(t, "good")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	host := exec.Command(self, hostArgument, dir)
	stdout, err := host.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := host.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = host.Wait() }) // killed below
	t.Cleanup(func() { _ = host.Process.Kill() })
	var report hostReport
	if err := json.NewDecoder(bufio.NewReader(stdout)).Decode(&report); err != nil {
		t.Fatal(err)
	}
	theirs := entries(t, socketDir)
	if len(theirs) != 1 {
		t.Fatalf("got socket directories %q, want one", theirs)
	}
	if info, err := os.Stat(filepath.Join(socketDir, theirs[0])); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("socket directory: %v, %v, want mode 0700", info.Mode(), err)
	}

	s, _ := open(t, plugin.Spec{Type: "good", Directory: dir})
	if !slices.Contains(entries(t, socketDir), theirs[0]) {
		t.Error("the socket directory of a living host was removed")
	}
	send(t, host.Process.Pid, syscall.SIGKILL)
	eventually(t, "plugin gone after its host was killed", func() bool { return !runs(report.PID) })
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	next, _ := open(t, plugin.Spec{Type: "good", Directory: dir})
	if slices.Contains(entries(t, socketDir), theirs[0]) {
		t.Error("the socket directory of a dead host is still there")
	}
	if err := next.Close(); err != nil {
		t.Error(err)
	}
	if left := entries(t, socketDir); len(left) != 0 {
		t.Errorf("left: %q", left)
	}
}
