package e2e

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/holdfast/holdfast/test/harness"
	"github.com/holdfast/holdfast/test/process"
)

// TestMakeRun runs `make run` as a newcomer does on a fresh clone, on the port it has:
// 8200. It answers the client that was built with it, and plain HTTP.
func TestMakeRun(t *testing.T) {
	for _, port := range []string{"8200", "8201"} {
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", port))
		if err != nil {
			t.Fatalf("make run serves on ports 8200 and 8201 of 127.0.0.1, and one is taken: stop what listens there (%v)", err)
		}
		_ = l.Close()
	}
	build := exec.CommandContext(t.Context(), "make", "-C", harness.Root(), "build") // takes minutes where nothing is built yet
	build.Env = newcomerEnviron()
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("make build: %v\n%s", err, out)
	}
	run := startDaemon(t, newcomerEnviron(), "make", "-C", harness.Root(), "run")
	run.awaitOutput("^Development mode is ready")
	server := watchProcess(t, "the server", serverBelow(t, run.Process))
	address := run.awaitOutput(`^ +\$ export HOLDFAST_ADDR='(.*)'$`)[1]
	token := run.awaitOutput(`^ +\$ export HOLDFAST_TOKEN='(.*)'$`)[1]
	if want := "http://127.0.0.1:8200"; address != want {
		t.Errorf("it serves on %s, want %s", address, want)
	}
	env := []string{"HOLDFAST_ADDR=" + address, "HOLDFAST_TOKEN=" + token, "HOME=" + t.TempDir()}
	for _, args := range [][]string{{"kv", "put", "secret/first", "v=run"}, {"kv", "get", "-field=v", "secret/first"}} {
		cmd := exec.Command(filepath.Join(harness.Root(), "bin", "holdfast"), args...)
		cmd.Env = env
		out, err := cmd.CombinedOutput()
		if err != nil || args[1] == "get" && strings.TrimSpace(string(out)) != "run" {
			t.Errorf("holdfast %q: %v\n%s", args, err, out)
		}
	}
	got := rawRequest(t, strings.TrimPrefix(address, "http://"), "GET", "/v1/secret/data/first", "", "X-Vault-Token: "+token)
	if got.status != http.StatusOK || !strings.Contains(got.body, `"v":"run"`) {
		t.Errorf("plain HTTP: status %d, %s", got.status, got.body)
	}
	server.signal(t, syscall.SIGTERM)
	run.awaitExit(0)
}

// newcomerEnviron is the environment of this process without what would make the server
// another one, or make part of the one that may have started the tests.
func newcomerEnviron() []string {
	return slices.DeleteFunc(os.Environ(), func(entry string) bool {
		for _, prefix := range []string{"HOLDFAST_", "VAULT_", "MAKE", "MFLAGS"} {
			if strings.HasPrefix(entry, prefix) {
				return true
			}
		}
		return false
	})
}

// serverBelow returns the process id of the holdfast server that make has started, by
// itself or through a shell.
func serverBelow(t *testing.T, run *process.Process) int {
	t.Helper()
	pids, err := run.Children()
	for err == nil && len(pids) > 0 {
		pid := pids[0]
		cmdline, readErr := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if readErr == nil && strings.HasPrefix(string(cmdline), "bin/holdfast\x00server\x00") {
			return pid
		}
		var below []int
		below, err = process.ChildrenOf(pid)
		pids = append(pids[1:], below...)
	}
	t.Fatalf("make has started no server (%v)", err)
	return 0
}
