package harness

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/vault/api"

	"github.com/holdfast/holdfast/test/process"
)

// Patience is how long a test waits for something that is expected to happen soon. It is
// long because test machines are slow now and then; how fast things are is for benchmarks.
const Patience = 30 * time.Second

// Node is one "holdfast server" process. Its methods end the test when they fail.
type Node struct {
	Name       string
	Address    string // host:port of the API
	ConfigPath string
	Program    string // that the next Start runs; empty: the one of Binaries

	t    testing.TB
	dir  string // of the configuration and the logs, among the artifacts
	env  []string
	proc *process.Process
}

// quickExit keeps the race detector from sleeping for a second when a program ends.
const quickExit = "GORACE=atexit_sleep_ms=0"

// Spec is what a node is to be. Only Name and Storage are required.
type Spec struct {
	Name    string
	Storage string   // a stanza in HCL
	Config  string   // more of the configuration, in HCL
	Env     []string // NAME=value; the node gets nothing of the test's environment
	Program string   // see Node
	Plugins string   // directory of the plugins; empty: that of Binaries
	Attach  string   // address of a plugin that runs, to use instead; empty: none
	// Advertise returns the addresses, host:port, at which others reach the node, given
	// those at which it listens for clients and for other nodes; nil: the same.
	Advertise func(api, cluster string) (apiAddr, clusterAddr string)
}

// NewNode writes a configuration for a server with storage, a stanza in HCL, and starts
// it. It stops with the test, and its log is shown if the test has failed.
func NewNode(t testing.TB, name, storage string) *Node {
	t.Helper()
	return NewNodeOf(t, Spec{Name: name, Storage: storage})
}

// NewNodeOf is NewNode for a node with more to it.
func NewNodeOf(t testing.TB, spec Spec) *Node {
	t.Helper()
	ports, err := process.FreePorts(2)
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp(t.ArtifactDir(), spec.Name+"-")
	if err != nil {
		t.Fatal(err)
	}
	n := &Node{
		Name: spec.Name, Program: spec.Program, Address: fmt.Sprintf("127.0.0.1:%d", ports[0]), t: t, dir: dir,
		env: append([]string{quickExit}, spec.Env...),
	}
	n.ConfigPath = filepath.Join(n.dir, "holdfast.hcl")
	cluster := fmt.Sprintf("127.0.0.1:%d", ports[1])
	clusterAddr := cluster
	if spec.Advertise != nil {
		var apiAddr string
		apiAddr, clusterAddr = spec.Advertise(n.Address, cluster)
		spec.Config += fmt.Sprintf("api_addr = %q\n", "http://"+apiAddr)
	}
	text := fmt.Sprintf(`
plugin_directory = %q
log_level        = "debug"
cluster_addr     = "https://%s"
listener "tcp" {
  address         = %q
  cluster_address = %q
  tls_disable     = true
}
%s
%s
%s
`, cmp.Or(spec.Plugins, filepath.Join(Binaries(t), "plugins")), clusterAddr, n.Address, cluster, pluginStanzas(spec.Attach), spec.Storage, spec.Config)
	if err := os.WriteFile(n.ConfigPath, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.cleanup)
	n.Start()
	return n
}

// pluginStanzas give the bundled plugins their environment, or the address of the one that runs.
func pluginStanzas(attach string) string {
	var stanzas strings.Builder
	option := fmt.Sprintf("env = [%q]", quickExit)
	if attach != "" {
		option = fmt.Sprintf("attach = %q", attach)
	}
	for _, name := range []string{"consul", "etcd", "inmem", "zookeeper"} {
		fmt.Fprintf(&stanzas, "plugin %q {\n  %s\n}\n", name, option)
	}
	return stanzas.String()
}

func (n *Node) cleanup() {
	if n.proc != nil && !n.proc.Ended() {
		n.Resume()
		n.proc.Stop()
	}
	CheckRaces(n.t, n.Name, n.Log()) // the plugin's reports are in the server's log too
	if n.t.Failed() {
		n.t.Logf("%s: standard output:\n%s\n%s: standard error:\n%s", n.Name, end(n.outputPath(), n.Output()), n.Name, end(n.logPath(), n.Log()))
	}
}

// mostShown is how much of a log a failed test shows; the whole is among the artifacts.
const mostShown = 256 << 10

func end(path, log string) string {
	if len(log) <= mostShown {
		return log
	}
	return "(the end of " + path + ")\n" + log[len(log)-mostShown:]
}

// Start starts the server, again after it has ended, and waits for its banner.
func (n *Node) Start() {
	n.t.Helper()
	// The banner goes to the file of this start; both files grow over restarts.
	marker := strings.Count(n.Output(), banner)
	if err := n.Launch(); err != nil {
		n.t.Fatal(err)
	}
	Eventually(n.t, n.Name+" prints its banner", func() error {
		if n.proc.Ended() {
			n.t.Fatalf("%s ended with exit code %d:\n%s", n.Name, n.proc.ExitCode(), n.Log())
		}
		if strings.Count(n.Output(), banner) == marker {
			return errors.New("no banner yet")
		}
		return nil
	})
}

// Launch starts the server, again after it has ended, and waits for nothing.
func (n *Node) Launch() error {
	program := cmp.Or(n.Program, filepath.Join(Binaries(n.t), "holdfast"))
	proc, err := process.Start(n.outputPath(), n.logPath(), n.env, program, "server", "-config="+n.ConfigPath)
	if err == nil {
		n.proc = proc
	}
	return err
}

const banner = "==> Holdfast server started"

func (n *Node) outputPath() string { return filepath.Join(n.dir, "stdout.log") }
func (n *Node) logPath() string    { return filepath.Join(n.dir, "stderr.log") }

// Output returns what the server has printed so far.
func (n *Node) Output() string { return read(n.t, n.outputPath()) }

// Log returns what the server has logged so far.
func (n *Node) Log() string { return read(n.t, n.logPath()) }

func read(t testing.TB, path string) string {
	text, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return string(text)
}

// Process returns the process of the server.
func (n *Node) Process() *process.Process { return n.proc }

// Kill ends the server at once. Its plugin ends by itself.
func (n *Node) Kill() { n.proc.Kill() }

// Stop ends the server in an orderly way and returns its exit code.
func (n *Node) Stop() int {
	n.proc.Stop()
	return n.proc.ExitCode()
}

// PluginPID returns the process id of the server's storage plugin.
func (n *Node) PluginPID() int {
	n.t.Helper()
	var pid int
	Eventually(n.t, n.Name+" has a plugin", func() error {
		children, err := n.proc.Children()
		if err == nil && len(children) != 1 {
			err = fmt.Errorf("%s has %d child processes", n.Name, len(children))
		}
		if err == nil {
			pid = children[0]
		}
		return err
	})
	return pid
}

// KillPlugin ends the server's storage plugin at once.
func (n *Node) KillPlugin() { n.signal(n.PluginPID(), syscall.SIGKILL) }

// KillBoth ends the server and its plugin at once.
func (n *Node) KillBoth() {
	plugin := n.PluginPID()
	n.signal(n.proc.PID(), syscall.SIGSTOP) // so that it does not start another one
	n.signal(plugin, syscall.SIGKILL)
	n.proc.Kill()
}

// Pause freezes the server and its plugin and returns when both stand still; Resume lets
// them go on.
func (n *Node) Pause() {
	n.t.Helper()
	plugin := n.PluginPID()
	for _, pid := range []int{n.proc.PID(), plugin} {
		if err := process.Pause(pid); err != nil {
			n.t.Fatalf("%s: %v", n.Name, err)
		}
	}
}

// Resume lets a paused server and its plugin go on.
func (n *Node) Resume() {
	children, err := n.proc.Children()
	if err != nil {
		n.t.Error(err)
	}
	for _, pid := range append(children, n.proc.PID()) {
		n.signal(pid, syscall.SIGCONT)
	}
}

func (n *Node) signal(pid int, sig syscall.Signal) {
	if err := syscall.Kill(pid, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
		n.t.Errorf("%s: send %v to process %d: %v", n.Name, sig, pid, err)
	}
}

// Client returns Vault's client for the server, which sends each request once.
func (n *Node) Client(token string) *api.Client {
	n.t.Helper()
	cfg := api.DefaultConfig()
	cfg.Address = "http://" + n.Address
	cfg.MaxRetries = 0
	cfg.Timeout = 60 * time.Second
	client, err := api.NewClient(cfg)
	if err != nil {
		n.t.Fatal(err)
	}
	client.SetToken(token)
	return client
}

// Eventually waits until try returns nil. what says, in the failure, what was expected.
func Eventually(t testing.TB, what string, try func() error) {
	t.Helper()
	deadline := time.Now().Add(Patience)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		err := try()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %v: %v", what, Patience, err)
		}
		<-tick.C
	}
}
