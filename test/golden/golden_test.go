// Package golden runs what was built when the plugin protocol was frozen with what is built
// now: plugins of then under the host of now, and the reverse.
package golden

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/holdfast/holdfast/test/harness"
	"github.com/holdfast/holdfast/test/servers"
)

func TestMain(m *testing.M) {
	code := harness.Run(m)
	if golden.dir != "" {
		_ = os.RemoveAll(golden.dir)
	}
	os.Exit(code)
}

// golden is where the programs of then were built.
var golden struct { //nolint:gochecknoglobals // written once, by goldenPrograms
	once sync.Once
	dir  string
	err  error
}

// goldenPrograms builds what testdata/v1.tar.gz holds, once, and returns a directory like
// that of harness.Binaries.
func goldenPrograms(t *testing.T) string {
	t.Helper()
	golden.once.Do(func() { golden.dir, golden.err = buildGolden() })
	if golden.err != nil {
		t.Fatal(golden.err)
	}
	return golden.dir
}

func buildGolden() (string, error) {
	archive, err := filepath.Abs(filepath.Join("testdata", "v1.tar.gz"))
	if err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp("", "holdfast-golden-")
	if err != nil {
		return "", err
	}
	source := filepath.Join(dir, "source")
	if err := os.Mkdir(source, 0o700); err != nil {
		return dir, err
	}
	programs := map[string]string{
		"holdfast":                      "holdfast",
		"plugins/holdfast-storage-etcd": "holdfast-storage-etcd", "plugins/holdfast-storage-inmem": "holdfast-storage-inmem",
	}
	steps := [][]string{{"tar", "-xzf", archive}}
	for out, pkg := range programs {
		steps = append(steps, []string{"go", "build", "-trimpath", "-o", filepath.Join(dir, out), "./cmd/" + pkg})
	}
	for _, args := range steps {
		cmd := exec.Command(args[0], args[1:]...)
		cmd.Dir = source
		if text, err := cmd.CombinedOutput(); err != nil {
			return dir, fmt.Errorf("build the programs of then: %v: %w\n%s", args, err, text)
		}
	}
	return dir, nil
}

// pairing is a host and the plugins that it runs.
type pairing struct {
	name          string
	host, plugins string // directories like that of harness.Binaries
}

func pairings(t *testing.T) []pairing {
	then, now := goldenPrograms(t), harness.Binaries(t)
	return []pairing{
		{"plugins of then, host of now", now, then},
		{"plugins of now, host of then", then, now},
	}
}

// The suite of each host finds that a plugin of the other time keeps its promises; those of the
// process have nothing to do with the protocol, but for the start, which is part of each.
func TestSuite(t *testing.T) {
	for _, p := range pairings(t) {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel() // it waits for what must not happen
			plugin := filepath.Join(p.plugins, "plugins", "holdfast-storage-inmem")
			// GOGC: where the processor is scarce the race detector's memory grows until C-24, which
			// can not be changed in the host of then, takes it for a leak.
			out, err := exec.CommandContext(t.Context(), filepath.Join(p.host, "holdfast"), "plugin", "test", plugin,
				"-expect=core,txn,ha", "-env=GORACE=atexit_sleep_ms=0", "-env=GOGC=50").CombinedOutput()
			t.Logf("%s", out)
			harness.CheckRaces(t, "the suite or the plugin", string(out))
			if err != nil {
				t.Error(err)
			}
		})
	}
}

// A server runs a plugin of the other time on a real store: what it wrote is there after the
// plugin was killed, and after the server was.
func TestServer(t *testing.T) {
	store := servers.Etcd(t)
	for i, p := range pairings(t) {
		t.Run(p.name, func(t *testing.T) {
			c := harness.Form(t, harness.NewNodeOf(t, harness.Spec{
				Name:    fmt.Sprintf("n%d", i+1),
				Storage: fmt.Sprintf("storage \"etcd\" {\n  address = %q\n  path = \"golden%d/\"\n}", store.Address, i),
				Program: filepath.Join(p.host, "holdfast"),
				Plugins: filepath.Join(p.plugins, "plugins"),
			}))
			c.Mount("kv", "1")
			node := c.Nodes[0]
			write := func(when string) {
				t.Helper()
				if _, err := node.Client(c.RootToken).Logical().Write("kv/"+when, map[string]any{"when": when}); err != nil {
					t.Fatalf("write %s: %v", when, err)
				}
			}
			write("at first")
			node.KillPlugin()
			write("after the plugin was killed")
			node.Kill()
			node.Start()
			c.Unseal(node)
			c.AwaitMembers(1)
			write("after the server was killed")
			for _, when := range []string{"at first", "after the plugin was killed", "after the server was killed"} {
				secret, err := node.Client(c.RootToken).Logical().Read("kv/" + when)
				if err != nil || secret == nil || secret.Data["when"] != when {
					t.Errorf("read what was written %s: %v, %v", when, secret, err)
				}
			}
		})
	}
}
