package e2e

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/holdfast/holdfast/test/harness"
)

// TestPluginReload replaces the program of the plugin on both nodes of a cluster under load. No
// request may fail, and the term stays the same. A program that will not do is refused, and the
// last will works as before.
func TestPluginReload(t *testing.T) {
	onEveryStore(t, func(t *testing.T, b backend) {
		_, stanza := b.start(t)
		plugins := copyPlugins(t)
		program := filepath.Join(plugins, "holdfast-storage-"+b.name)
		var nodes []*harness.Node
		for i := range 2 {
			nodes = append(nodes, harness.NewNodeOf(t, harness.Spec{
				Name: fmt.Sprintf("n%d", i+1), Storage: stanza, Config: patient, Plugins: plugins,
			}))
		}
		c := harness.Form(t, nodes...)
		good := readFile(t, program)
		reloadUnderLoad(t, c, func(generation int) (sum string) {
			text := append(bytes.Clone(good), "generation "+strconv.Itoa(generation)...) // which is no part of the program
			install(t, program, text)
			return fmt.Sprintf("%x", sha256.Sum256(text))
		}, func(n *harness.Node) {
			install(t, program, []byte("#!/bin/sh\necho no such cluster: atlantis >&2\nexit 3\n"))
			wantRefused(t, c, n, "no such cluster: atlantis")
			install(t, program, good)
		})
		for range willAttempts {
			active := c.Active()
			reload(t, c, active)
			before := epochOf(t, active)
			gap, byWill := killHost(t, c, active)
			t.Logf("host killed after a reload: the longest pause %v, by a last will: %t", gap.Round(time.Millisecond), byWill)
			if now := epochOf(t, c.Active()); now != before+1 {
				t.Errorf("epoch %d after the death of the active host of epoch %d", now, before)
			}
			if byWill {
				return
			}
			active.Start()
			c.Unseal(active)
			c.AwaitMembers(2)
		}
		t.Errorf("none of %d hosts killed after a reload was replaced because of its last will", willAttempts)
	})
}

// TestPluginReloadAttached is the same for nodes that share one process of the inmem plugin,
// which they did not start.
func TestPluginReloadAttached(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o700); err != nil { // who may connect to the socket may read all data
		t.Fatal(err)
	}
	socket := filepath.Join(dir, "plugin.sock")
	plugin := startDaemon(t, nil, filepath.Join(harness.Binaries(t), "plugins", "holdfast-storage-inmem"), "serve", "-debug", "-socket", socket)
	attach := plugin.awaitOutput(`^attach = "(.*)"$`)[1]
	var nodes []*harness.Node
	for i := range 2 {
		nodes = append(nodes, harness.NewNodeOf(t, harness.Spec{
			Name: fmt.Sprintf("n%d", i+1), Storage: "storage \"inmem\" {}", Config: patient, Attach: attach,
		}))
	}
	reloadUnderLoad(t, harness.Form(t, nodes...), nil, nil)
}

// TestPluginReloadThatLosesTheData: a process that the server has started is all that inmem has.
// A reload is refused, and a program that is no inmem ends the server with the reason.
func TestPluginReloadThatLosesTheData(t *testing.T) {
	plugins := copyPlugins(t)
	n := harness.NewNodeOf(t, harness.Spec{Name: "n1", Storage: "storage \"inmem\" {}", Plugins: plugins})
	c := harness.Form(t, n)
	wantRefused(t, c, n, "the data lives in the plugin's process and would be lost")
	c.Mount("kv", "1")

	install(t, filepath.Join(plugins, "holdfast-storage-inmem"), readFile(t, filepath.Join(plugins, "holdfast-storage-etcd")))
	wantRefused(t, c, n, `it describes itself as "etcd"`)
	c.Mount("kv2", "2")
	n.KillPlugin()
	harness.Eventually(t, "the server ends", func() error {
		if !n.Process().Ended() {
			return errors.New("it runs")
		}
		return nil
	})
	if code := n.Process().ExitCode(); code != 1 || !strings.Contains(n.Log(), "Error: storage \"inmem\": plugin is broken") {
		t.Errorf("exit code %d, want 1 and that the plugin is broken", code)
	}
}

// reloadUnderLoad reloads the plugin of each node of c while clients read and write through both.
// It has replace install another program before each reload, if there is one, and calls refuse
// on the active node at the end, likewise.
func reloadUnderLoad(t *testing.T, c *harness.Cluster, replace func(generation int) (sum string), refuse func(*harness.Node)) {
	t.Helper()
	c.Mount("kv", "1")
	active, standby := c.Active(), c.Standbys()[0]
	before := epochOf(t, active)
	l := startLoad(t, c)
	l.awaitMore(100)
	for generation, n := range []*harness.Node{standby, active} {
		old := status(t, c, n)
		want := ""
		if replace != nil {
			want = replace(generation)
		}
		began := time.Now()
		now := reload(t, c, n)
		took := time.Since(began)
		if now.Reloads != 1 || replace != nil && now.PID == old.PID {
			t.Errorf("%s: the plugin was %+v and is %+v", n.Name, old, now)
		}
		if replace != nil {
			harness.Eventually(t, "the checksum of the new program", func() error {
				if got := status(t, c, n).SHA256; got != want {
					return fmt.Errorf("it is %q, want %q", got, want)
				}
				return nil
			})
		}
		l.awaitMore(100)
		t.Logf("plugin of %s reloaded in %v; lost before: %d times", n.Name, took.Round(time.Millisecond), now.Restarts)
	}
	if refuse != nil {
		refuse(active)
		l.awaitMore(100)
	}
	l.stop()
	for _, n := range c.Nodes {
		if now := epochOf(t, n); now != before {
			t.Errorf("%s is in epoch %d, want %d as before", n.Name, now, before)
		}
	}
}

// plugin is what a node says of its storage plugin.
type plugin struct {
	PID      int    `json:"pid"`
	SHA256   string `json:"sha256"`
	Restarts int    `json:"restarts"`
	Reloads  int    `json:"reloads"`
}

// reload runs holdfast plugin reload for a node. On a machine that is too busy a program does not
// start within the 5 s that it has; it is then tried again.
func reload(t *testing.T, c *harness.Cluster, n *harness.Node) (p plugin) {
	t.Helper()
	harness.Eventually(t, "the plugin of "+n.Name+" is reloaded", func() error {
		stdout, stderr, code := runClient(t, n, c.RootToken, "plugin", "reload", "-format=json")
		if code == 2 && strings.Contains(stderr, "no handshake in time") {
			return errors.New(stderr)
		}
		p = decodePlugin(t, stdout, stderr, code)
		return nil
	})
	return p
}

func status(t *testing.T, c *harness.Cluster, n *harness.Node) plugin {
	t.Helper()
	stdout, stderr, code := runClient(t, n, c.RootToken, "plugin", "status", "-format=json")
	return decodePlugin(t, stdout, stderr, code)
}

// decodePlugin reads what a command has printed, which must have succeeded.
func decodePlugin(t *testing.T, stdout, stderr string, code int) (p plugin) {
	t.Helper()
	if err := json.Unmarshal([]byte(stdout), &p); err != nil || code != 0 {
		t.Fatalf("exit code %d, %v\n%s%s", code, err, stdout, stderr)
	}
	return p
}

// wantRefused reloads the plugin of a node, which must be refused with a reason.
func wantRefused(t *testing.T, c *harness.Cluster, n *harness.Node, why string) {
	t.Helper()
	old := status(t, c, n)
	stdout, stderr, code := runClient(t, n, c.RootToken, "plugin", "reload")
	if code != 2 || stdout != "" || !strings.Contains(stderr, why) {
		t.Errorf("exit code %d, want 2 and %q\n%s%s", code, why, stdout, stderr)
	}
	if now := status(t, c, n); now.PID != old.PID || now.Reloads != old.Reloads {
		t.Errorf("the plugin was %+v and is %+v", old, now)
	}
}

// install puts a program at path in one step, as an operator should.
func install(t *testing.T, path string, text []byte) {
	t.Helper()
	next := path + ".next"
	if err := os.WriteFile(next, text, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(next, path); err != nil {
		t.Fatal(err)
	}
}
