package sdk

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/holdfast/holdfast/sdk/storage"
	"github.com/holdfast/holdfast/sdk/wire"
)

// actAsPlugin makes the test binary a plugin process.
const actAsPlugin = "SDK_TEST_PLUGIN"

// actAsHost makes it a host, of a plugin whose record is in the file named.
const actAsHost = "SDK_TEST_HOST"

func TestMain(m *testing.M) {
	if os.Getenv(actAsPlugin) != "" {
		Main(haMemoryPlugin())
		return
	}
	if record := os.Getenv(actAsHost); record != "" {
		if err := runHost(context.Background(), record); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

const patience = 20 * time.Second

func pluginCommand(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), actAsPlugin+"=1", "GORACE=atexit_sleep_ms=0")
	return cmd
}

// buffer is a bytes.Buffer for several goroutines.
type buffer struct {
	mu  sync.Mutex // guards buf
	buf bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// launch starts cmd as a host does. The returned log is what the host would log.
func launch(t *testing.T, cmd *exec.Cmd) (*plugin.Client, *wire.Client, *buffer) {
	t.Helper()
	logged := new(buffer)
	client := plugin.NewClient(&plugin.ClientConfig{
		HandshakeConfig: plugin.HandshakeConfig{
			ProtocolVersion: wire.ProtocolVersion, MagicCookieKey: wire.CookieKey, MagicCookieValue: wire.CookieValue,
		},
		Plugins:          plugin.PluginSet{wire.SetName: &launched{}},
		Cmd:              cmd,
		AllowedProtocols: []plugin.Protocol{plugin.ProtocolGRPC},
		GRPCDialOptions:  wire.DialOptions(),
		Logger:           hclog.New(&hclog.LoggerOptions{Output: logged, Level: hclog.Debug}),
	})
	t.Cleanup(client.Kill)
	protocol, err := client.Client()
	if err != nil {
		t.Fatalf("launch: %v\n%s", err, logged)
	}
	overGRPC, ok := protocol.(*plugin.GRPCClient)
	if !ok {
		t.Fatalf("launch: got %T, want a gRPC client", protocol)
	}
	return client, wire.NewClient(overGRPC.Conn, "memory"), logged
}

func configure(t *testing.T, c *wire.Client, stanza string) *wire.Backend {
	t.Helper()
	b, err := c.Configure(t.Context(), []byte(stanza))
	if err != nil {
		t.Fatalf("configure: %v", err)
	}
	return b
}

// eventually polls condition until it holds.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !condition() {
		select {
		case <-deadline:
			t.Fatalf("not within %v: %s", patience, what)
		case <-tick.C:
		}
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func TestLaunchedByAHost(t *testing.T) {
	closed := filepath.Join(t.TempDir(), "closed")
	process, client, logged := launch(t, pluginCommand(t))
	d, err := client.Describe(t.Context())
	if err != nil || d.Name != "memory" || !d.HA {
		t.Fatalf("describe: got %+v, %v", d, err)
	}
	b := configure(t, client, fmt.Sprintf(`{"closed": %q, "token": "hidden"}`, closed))
	if err := b.Write(t.Context(), []storage.Op{storage.Put("print", []byte("v"))}); err != nil {
		t.Errorf("write: %v", err)
	}
	// The levels of the author's logger arrive; a print after the start harms nothing.
	eventually(t, "the log arrives", func() bool {
		return strings.Contains(logged.String(), "[INFO]") && strings.Contains(logged.String(), "logged by the plugin")
	})
	if err := client.Ping(t.Context()); err != nil {
		t.Errorf("ping: %v", err)
	}
	if strings.Contains(logged.String(), "hidden") {
		t.Errorf("a secret is in the log:\n%s", logged)
	}
	process.Kill() // graceful first
	if !exists(closed) {
		t.Error("the backend was not closed at the end")
	}
}

func TestSignalsAreLeftToTheHost(t *testing.T) {
	cmd := pluginCommand(t)
	_, client, _ := launch(t, cmd)
	for _, signal := range []os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, os.Interrupt} {
		if err := cmd.Process.Signal(signal); err != nil {
			t.Fatalf("signal: %v", err)
		}
	}
	b := configure(t, client, "")
	if err := b.Write(t.Context(), []storage.Op{storage.Put("k", nil)}); err != nil {
		t.Errorf("write after the signals: %v", err)
	}
}

func TestCloseThatHangsDoesNotKeepTheProcess(t *testing.T) {
	cmd := pluginCommand(t)
	process, client, logged := launch(t, cmd)
	configure(t, client, `{"hang": true}`)
	start := time.Now()
	process.Kill()
	if took := time.Since(start); took > 2*time.Second || !strings.Contains(logged.String(), "[ERROR] sdk.test: backends are not closed in order") {
		t.Errorf("ended after %v, want the plugin to give up by itself:\n%s", took, logged)
	}
}

func TestBadPidfdIsRefused(t *testing.T) {
	cmd := pluginCommand(t)
	cmd.Env = append(cmd.Env, wire.CookieKey+"="+wire.CookieValue, wire.HostPIDFDKey+"=three")
	out, err := cmd.CombinedOutput()
	if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.ExitCode() != 1 || !bytes.Contains(out, []byte(`HOLDFAST_HOST_PIDFD is "three"`)) {
		t.Errorf("got %v, %s, want exit code 1 and the reason", err, out)
	}
}

func TestRunByHandExitsWith1(t *testing.T) {
	out, err := pluginCommand(t).CombinedOutput()
	if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.ExitCode() != 1 || !bytes.Contains(out, []byte("not started by a Holdfast server")) {
		t.Errorf("got %v, %s, want exit code 1 and an explanation", err, out)
	}
}

func TestServeDebugUntilSignalled(t *testing.T) {
	for _, test := range []struct {
		name string
		args []string
	}{
		{"own directory", nil},
		{"given socket", []string{"-socket", filepath.Join(privateDir(t), "p", "s.sock")}},
	} {
		t.Run(test.name, func(t *testing.T) { serveDebug(t, test.args) })
	}
}

func privateDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "sdk") // short, for the socket's sake
	if err != nil {
		t.Fatalf("make directory: %v", err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func serveDebug(t *testing.T, args []string) {
	closed := filepath.Join(t.TempDir(), "closed")
	cmd := pluginCommand(t, append([]string{"serve", "-debug"}, args...)...)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatalf("pipe: %v", err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("start: %v", err)
	}
	defer func() { _ = cmd.Process.Kill() }()
	line, err := bufio.NewReader(stdout).ReadString('\n')
	target, ok := strings.CutPrefix(strings.TrimSpace(line), `attach = "`)
	target, isQuoted := strings.CutSuffix(target, `"`)
	if err != nil || !ok || !isQuoted {
		t.Fatalf("first line: got %q, %v, want attach = \"unix://...\"", line, err)
	}
	socket := strings.TrimPrefix(target, "unix://")
	if info, err := os.Stat(filepath.Dir(socket)); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("socket directory: got %v, %v, want mode 0700", info, err)
	}
	conn, err := grpc.NewClient(target, append(wire.DialOptions(), grpc.WithTransportCredentials(insecure.NewCredentials()))...)
	if err != nil {
		t.Fatalf("dial: %v", err)
	}
	defer func() { _ = conn.Close() }()
	b := configure(t, wire.NewClient(conn, "memory"), fmt.Sprintf(`{"closed": %q}`, closed))
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	watched := make(chan error, 1)
	go func() {
		_, err := b.Watch(ctx, "k", "") // does not hold up the end
		watched <- err
	}()
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatalf("signal: %v", err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("exit: %v, want 0", err)
	}
	if err := <-watched; !errors.Is(err, storage.ErrUnavailable) {
		t.Errorf("watch: got %v, want ErrUnavailable", err)
	}
	if !exists(closed) || exists(socket) {
		t.Errorf("backend closed: %v, socket left: %v, want true, false", exists(closed), exists(socket))
	}
}
