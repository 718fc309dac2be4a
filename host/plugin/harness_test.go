package plugin_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/holdfast/holdfast/host/plugin"
)

// patience is how long a test waits for what must happen; it is no part of any promise.
const patience = 20 * time.Second

// directory returns a plugin directory that holds the test plugin under the given types.
func directory(t *testing.T, types ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, typ := range types {
		install(t, filepath.Join(dir, "holdfast-storage-"+typ))
	}
	chmod(t, dir, 0o755)
	return dir
}

// install puts the test plugin at path.
func install(t *testing.T, path string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Link(self, path); err == nil {
		return
	}
	program, err := os.ReadFile(self) // on another file system
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, program, 0o755); err != nil {
		t.Fatal(err)
	}
}

func chmod(t *testing.T, path string, mode os.FileMode) {
	t.Helper()
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

func rename(t *testing.T, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}

// sockets makes an empty directory the one for sockets and returns it.
func sockets(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "hft")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	t.Setenv("XDG_RUNTIME_DIR", dir)
	return dir
}

func entries(t *testing.T, dir string) []string {
	t.Helper()
	found, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, entry := range found {
		names = append(names, entry.Name())
	}
	return names
}

// log is a logger whose text can be read while it is written.
type log struct {
	hclog.Logger

	mu   sync.Mutex // guards text
	text bytes.Buffer
}

func newLog(t *testing.T) *log {
	l := &log{}
	l.Logger = hclog.New(&hclog.LoggerOptions{Level: hclog.Trace, Output: l})
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("log:\n%.20000s", l.String())
		}
	})
	return l
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// open opens spec, which has to work, and closes it after the test.
func open(t *testing.T, spec plugin.Spec) (*plugin.Storage, *log) {
	t.Helper()
	logger := newLog(t)
	s, err := plugin.Open(within(t, patience), spec, logger)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() }) // the tests of Close look at its error
	return s, logger
}

func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// eventually polls until ok.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	deadline := time.After(patience)
	for !ok() {
		select {
		case <-ticker.C:
		case <-deadline:
			t.Fatalf("not in time: %s", what)
		}
	}
}

// about returns what the running plugin says about itself.
func about(t *testing.T, s *plugin.Storage, what string) string {
	t.Helper()
	item, err := s.Get(within(t, patience), "about/"+what)
	if err != nil {
		t.Fatalf("get about/%s: %v", what, err)
	}
	return string(item.Value)
}

func pidOf(t *testing.T, s *plugin.Storage, what string) int {
	t.Helper()
	pid, err := strconv.Atoi(about(t, s, what))
	if err != nil || pid == 0 {
		t.Fatalf("%s is no process id: %d, %v", what, pid, err)
	}
	return pid
}

// runs reports whether the process exists and is more than an entry for its parent.
func runs(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	after := stat[bytes.LastIndexByte(stat, ')')+1:]
	return len(after) > 1 && after[1] != 'Z' && after[1] != 'X'
}

func send(t *testing.T, pid int, sig syscall.Signal) {
	t.Helper()
	if err := syscall.Kill(pid, sig); err != nil {
		t.Fatalf("signal %d: %v", pid, err)
	}
}
