package e2e

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/holdfast/holdfast/test/harness"
	"github.com/holdfast/holdfast/test/process"
)

// devCluster is "holdfast server -dev -dev-nodes=3".
type devCluster struct {
	*daemon

	token  string
	nodes  []devNode
	plugin witness
	tmp    string // where it keeps temporary files
}

// devNode is one of its servers, as it was printed.
type devNode struct {
	witness

	url string
}

// startDevCluster starts three development servers that share one plugin.
func startDevCluster(t *testing.T) *devCluster {
	t.Helper()
	first, err := process.FreeBlock(6)
	if err != nil {
		t.Fatal(err)
	}
	tmp, err := os.MkdirTemp("", "") // t.TempDir is too long for the path of a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(tmp) })
	// An address in the environment can not be that of three nodes.
	env := []string{"TMPDIR=" + tmp, "HOLDFAST_API_ADDR=http://10.9.9.9:8200", "VAULT_CLUSTER_ADDR=https://10.9.9.9:8201"}
	c := &devCluster{tmp: tmp, daemon: startDaemon(t, env, holdfast(t),
		"server", "-dev", "-dev-nodes=3", fmt.Sprintf("-dev-listen-address=127.0.0.1:%d", first))}
	c.awaitOutput("^Development mode is ready")
	c.token = c.awaitOutput("^Root Token: (.+)$")[1]
	children, err := c.Children()
	if err != nil {
		t.Fatal(err)
	}
	for i, line := range regexp.MustCompile(`(?m)^ +(http://\S+)  pid (\d+)$`).FindAllStringSubmatch(c.stdout(), -1) {
		if want := fmt.Sprintf("http://127.0.0.1:%d", first+2*i); line[1] != want {
			t.Errorf("node %d is at %s, want %s", i+1, line[1], want)
		}
		pid, _ := strconv.Atoi(line[2])
		if !slices.Contains(children, pid) {
			t.Fatalf("%s: process %d was printed and is no child of the parent, whose children are %v", line[1], pid, children)
		}
		children = slices.DeleteFunc(children, func(child int) bool { return child == pid })
		c.nodes = append(c.nodes, devNode{watchProcess(t, "the server at "+line[1], pid), line[1]})
	}
	if len(c.nodes) != 3 || len(children) != 1 {
		t.Fatalf("%d nodes are printed and %d other processes run, want 3 and the plugin:\n%s", len(c.nodes), len(children), c.stdout())
	}
	c.plugin = watchProcess(t, "the plugin", children[0])
	return c
}

// all are the processes besides the parent.
func (c *devCluster) all() []witness {
	all := []witness{c.plugin}
	for _, n := range c.nodes {
		all = append(all, n.witness)
	}
	return all
}

// awaitActive waits until all nodes that run say that the same one is active.
func (c *devCluster) awaitActive(running []devNode) devNode {
	c.t.Helper()
	var active devNode
	harness.Eventually(c.t, "one node is active", func() error {
		leaders := map[string]bool{}
		selves := 0
		for _, n := range running {
			leader, err := clientAt(c.t, n.url).Sys().Leader()
			if err != nil {
				return err
			}
			leaders[leader.LeaderAddress] = true
			if leader.IsSelf {
				active, selves = n, selves+1
			}
		}
		if len(leaders) != 1 || selves != 1 || !leaders[active.url] {
			return fmt.Errorf("%d nodes are active, and the leader is said to be any of %v", selves, leaders)
		}
		return nil
	})
	return active
}

// run runs the client against a node and returns what it printed.
func (c *devCluster) run(n devNode, args ...string) string {
	c.t.Helper()
	cmd := exec.Command(holdfast(c.t), args...)
	cmd.Env = []string{quickExit, "HOLDFAST_ADDR=" + n.url, "HOLDFAST_TOKEN=" + c.token, "HOME=" + c.dir}
	out, err := cmd.CombinedOutput()
	if err != nil {
		c.t.Fatalf("holdfast %q: %v\n%s", args, err, out)
	}
	return string(out)
}

// awaitMembers waits until "operator members" lists n nodes, one of them active.
func (c *devCluster) awaitMembers(via devNode, n int) {
	c.t.Helper()
	harness.Eventually(c.t, fmt.Sprintf("%d members are listed", n), func() error {
		text := c.run(via, "operator", "members")
		// Each has one cluster address.
		if strings.Count(text, "https://") != n || strings.Count(text, " true ") != 1 {
			return fmt.Errorf("the members are:\n%s", text)
		}
		return nil
	})
}

// TestDevClusterFailover is what a newcomer is told to try: look at the members, step
// the active node down, kill the next one by the pid that was printed. The data stays.
func TestDevClusterFailover(t *testing.T) {
	c := startDevCluster(t)
	first := c.awaitActive(c.nodes)
	c.awaitMembers(c.nodes[2], 3)
	for i, n := range c.nodes {
		c.run(n, "kv", "put", fmt.Sprintf("secret/from-%d", i), "v=kept")
	}

	c.run(c.nodes[2], "operator", "step-down")
	harness.Eventually(t, "another node is active", func() error {
		if c.awaitActive(c.nodes).url == first.url {
			return fmt.Errorf("it is still %s", first.url)
		}
		return nil
	})
	c.awaitMembers(first, 3)

	second := c.awaitActive(c.nodes)
	second.signal(t, syscall.SIGKILL)
	awaitGone(t, second.witness)
	c.awaitOutput("^the server on " + regexp.QuoteMeta(strings.TrimPrefix(second.url, "http://")) + " ended$")
	left := slices.DeleteFunc(slices.Clone(c.nodes), func(n devNode) bool { return n.url == second.url })
	c.awaitActive(left)
	c.awaitMembers(left[0], 2)
	for _, via := range left {
		for i := range c.nodes {
			if got := c.run(via, "kv", "get", "-field=v", fmt.Sprintf("secret/from-%d", i)); got != "kept\n" && got != "kept" {
				t.Errorf("secret/from-%d through %s: got %q, want kept", i, via.url, got)
			}
		}
	}
	c.run(left[1], "kv", "put", "secret/after", "v=1")

	if err := c.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	c.awaitExit(0)
	awaitGone(t, c.all()...)
}

// TestDevClusterEnds ends the parent, or the plugin, in every way. No process may be left
// over, and no socket.
func TestDevClusterEnds(t *testing.T) {
	for _, tc := range []struct {
		name string
		end  func(t *testing.T, c *devCluster)
		code int
		says string // on standard error
	}{
		{name: "SIGTERM", end: signalParent(syscall.SIGTERM)},
		{name: "SIGINT", end: signalParent(syscall.SIGINT)},
		{name: "kill -9 of the parent", end: signalParent(syscall.SIGKILL), code: -1},
		{
			name: "kill -9 of the plugin", code: 1, says: "the storage plugin died, and the data with it",
			end: func(t *testing.T, c *devCluster) { c.plugin.signal(t, syscall.SIGKILL) },
		},
		{
			name: "kill -9 of every server", code: 1, says: "all servers have ended",
			end: func(t *testing.T, c *devCluster) {
				for _, n := range c.nodes {
					n.signal(t, syscall.SIGKILL)
				}
			},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := startDevCluster(t)
			c.awaitActive(c.nodes)
			tc.end(t, c)
			c.awaitExit(tc.code)
			awaitGone(t, c.all()...)
			if !strings.Contains(c.stderr(), tc.says) {
				t.Errorf("standard error does not say %q", tc.says)
			}
			if sockets, err := filepath.Glob(filepath.Join(c.tmp, "*", "*")); err != nil || len(sockets) > 0 {
				t.Errorf("%q was left behind (%v)", sockets, err)
			}
		})
	}
}

func signalParent(sig syscall.Signal) func(*testing.T, *devCluster) {
	return func(t *testing.T, c *devCluster) {
		t.Helper()
		if err := c.Signal(sig); err != nil {
			t.Fatal(err)
		}
	}
}

// TestDevClusterPortTaken: when one of the servers can not start, the others and the
// plugin do not stay either.
func TestDevClusterPortTaken(t *testing.T) {
	first, err := process.FreeBlock(6)
	if err != nil {
		t.Fatal(err)
	}
	taken := fmt.Sprintf("127.0.0.1:%d", first+2)
	l, err := net.Listen("tcp", taken)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	tmp := t.TempDir() // marks the processes: it is in their environment or arguments
	d := startDaemon(t, []string{"TMPDIR=" + tmp}, holdfast(t), "server", "-dev", "-dev-nodes=3",
		fmt.Sprintf("-dev-listen-address=127.0.0.1:%d", first))
	d.awaitExit(1)
	for _, want := range []string{"Error: start the server on " + taken, "address already in use"} {
		if !strings.Contains(d.stderr(), want) {
			t.Errorf("standard error does not say %q", want)
		}
	}
	if left := processesWith(t, tmp); len(left) > 0 {
		t.Errorf("processes %v were left behind", left)
	}
}

// processesWith returns the processes that have mark in their arguments or environment.
func processesWith(t *testing.T, mark string) []string {
	t.Helper()
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	var pids []string
	for _, dir := range dirs {
		// What can not be read has ended meanwhile.
		arguments, _ := os.ReadFile(filepath.Join(dir, "cmdline"))
		environ, _ := os.ReadFile(filepath.Join(dir, "environ"))
		if strings.Contains(string(arguments)+string(environ), mark) {
			pids = append(pids, filepath.Base(dir))
		}
	}
	return pids
}
