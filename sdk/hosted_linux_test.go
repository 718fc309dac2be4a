package sdk

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/sdk/wire"
)

// TestHostDies: the plugin watches the process behind the pidfd it inherited, not the
// one that started it.
func TestHostDies(t *testing.T) {
	closed := filepath.Join(t.TempDir(), "closed")
	host := exec.Command("sleep", "600")
	if err := host.Start(); err != nil {
		t.Fatalf("start a host: %v", err)
	}
	defer func() { _ = host.Wait() }()
	pidfd, err := unix.PidfdOpen(host.Process.Pid, 0)
	if err != nil {
		t.Fatalf("open pidfd: %v", err)
	}
	file := os.NewFile(uintptr(pidfd), "pidfd")
	defer func() { _ = file.Close() }()
	cmd := pluginCommand(t)
	cmd.ExtraFiles = []*os.File{file}
	cmd.Env = append(cmd.Env, wire.HostPIDFDKey+"=3")
	process, client, logged := launch(t, cmd)
	configure(t, client, fmt.Sprintf(`{"closed": %q}`, closed))
	if process.Exited() {
		t.Fatal("the plugin ended while its host lives")
	}
	if err := host.Process.Kill(); err != nil {
		t.Fatalf("kill the host: %v", err)
	}
	eventually(t, "the plugin ends", process.Exited)
	if !exists(closed) || !strings.Contains(logged.String(), "host is dead") {
		t.Errorf("closed %v, log:\n%s", exists(closed), logged)
	}
}
