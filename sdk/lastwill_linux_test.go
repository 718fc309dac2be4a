package sdk

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/sdk/storage"
	"github.com/holdfast/holdfast/sdk/wire"
)

const willText = "the will"

// runHost is a host that commits twice, leaves a will with its plugin, prints the plugin's
// process id, and ends in order when its stdin does.
func runHost(ctx context.Context, record string) error {
	self, err := unix.PidfdOpen(os.Getpid(), 0)
	if err != nil {
		return err
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), actAsPlugin+"=1", actAsHost+"=", wire.HostPIDFDKey+"=3", "GORACE=atexit_sleep_ms=0")
	cmd.ExtraFiles = []*os.File{os.NewFile(uintptr(self), "pidfd")}
	client := plugin.NewClient(&plugin.ClientConfig{
		HandshakeConfig: plugin.HandshakeConfig{
			ProtocolVersion: wire.ProtocolVersion, MagicCookieKey: wire.CookieKey, MagicCookieValue: wire.CookieValue,
		},
		Plugins:          plugin.PluginSet{wire.SetName: &launched{}},
		Cmd:              cmd,
		AllowedProtocols: []plugin.Protocol{plugin.ProtocolGRPC},
		GRPCDialOptions:  wire.DialOptions(),
		Logger:           hclog.New(&hclog.LoggerOptions{Output: os.Stderr}),
	})
	defer client.Kill()
	protocol, err := client.Client()
	if err != nil {
		return err
	}
	overGRPC, ok := protocol.(*plugin.GRPCClient)
	if !ok {
		return fmt.Errorf("client is a %T", protocol)
	}
	b, err := wire.NewClient(overGRPC.Conn, "memory").Configure(ctx, []byte(fmt.Sprintf(`{"record": %q}`, record)))
	if err != nil {
		return err
	}
	first, err := b.Commit(ctx, storage.Guard{Key: "record", Value: []byte("1")}, nil)
	if err != nil {
		return err
	}
	if err := b.Arm(ctx, "record", []byte(willText)); err != nil {
		return err
	}
	if _, err := b.Commit(ctx, storage.Guard{Key: "record", Version: first, Prev: []byte("1"), Value: []byte("2")}, nil); err != nil {
		return err
	}
	fmt.Println(cmd.Process.Pid)
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

// hostProcess is a host in a process of its own, and its plugin.
type hostProcess struct {
	t      *testing.T
	cmd    *exec.Cmd
	stdin  io.Closer
	plugin int // process id
	record string
}

func startHost(t *testing.T) *hostProcess {
	t.Helper()
	h := &hostProcess{t: t, record: filepath.Join(t.TempDir(), "record")}
	h.cmd = exec.Command(os.Args[0])
	h.cmd.Env = append(os.Environ(), actAsHost+"="+h.record)
	h.cmd.Stderr = t.Output()
	var err error
	if h.stdin, err = h.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	stdout, err := h.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := h.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.kill)
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatalf("the host did not start: %v", err)
	}
	if h.plugin, err = strconv.Atoi(line[:len(line)-1]); err != nil {
		t.Fatal(err)
	}
	return h
}

// kill ends the host at once. It may be called again.
func (h *hostProcess) kill() {
	_ = h.cmd.Process.Kill()
	_ = h.cmd.Wait()
}

// pluginRuns reports whether the plugin is there, and not merely waiting to be reaped.
func (h *hostProcess) pluginRuns() bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", h.plugin))
	_, state, _ := strings.Cut(string(stat), ") ")
	return err == nil && !strings.HasPrefix(state, "Z") && !strings.HasPrefix(state, "X")
}

func (h *hostProcess) value() string {
	h.t.Helper()
	r, err := readRecord(h.record)
	if err != nil {
		h.t.Fatal(err)
	}
	return string(r.Value)
}

// A host that is killed is certainly dead; its log, which the plugin writes to, is gone as well.
func TestLastWillOfAKilledHost(t *testing.T) {
	h := startHost(t)
	if !h.pluginRuns() || h.value() != "2" {
		t.Fatalf("the plugin runs: %t, the record is %q, want 2", h.pluginRuns(), h.value())
	}
	began := time.Now()
	h.kill()
	eventually(t, "the will is committed", func() bool { return h.value() == willText })
	t.Logf("the will was committed within %v", time.Since(began).Round(time.Millisecond))
	eventually(t, "the plugin ends", func() bool { return !h.pluginRuns() })
}

func TestNoLastWillOfAHostThatLives(t *testing.T) {
	h := startHost(t)
	if err := h.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	select {
	case <-time.After(500 * time.Millisecond): // not seeing a will is no proof, but a wrong one would come at once
	case <-t.Context().Done():
	}
	if got := h.value(); got != "2" || !h.pluginRuns() {
		t.Errorf("the host is frozen; the record is %q, want 2, and the plugin runs: %t", got, h.pluginRuns())
	}
	if err := h.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if err := h.stdin.Close(); err != nil { // end in order
		t.Fatal(err)
	}
	if err := h.cmd.Wait(); err != nil {
		t.Errorf("the host: %v", err)
	}
	eventually(t, "the plugin ends", func() bool { return !h.pluginRuns() })
	if got := h.value(); got != "2" {
		t.Errorf("the host ended in order; the record is %q, want 2", got)
	}
}

// A plugin that was frozen when its host was killed comes too late when it goes on.
func TestLastWillThatComesLate(t *testing.T) {
	h := startHost(t)
	if err := syscall.Kill(h.plugin, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	h.kill()
	successor := fileRecord{Version: "9", Value: []byte("successor")}
	if err := successor.write(h.record); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(h.plugin, syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the plugin ends", func() bool { return !h.pluginRuns() })
	if got := h.value(); got != "successor" {
		t.Errorf("the record is %q, want the successor's", got)
	}
}
