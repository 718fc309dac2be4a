package e2e

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/holdfast/holdfast/test/harness"
)

// TestPluginBuiltElsewhere builds a plugin in a module of its own that knows no more of
// Holdfast than sdk/, drops it into the plugin directory of a host that was built before,
// and runs a node on it.
func TestPluginBuiltElsewhere(t *testing.T) {
	host := readFile(t, holdfast(t))
	plugins := copyPlugins(t)

	module := t.TempDir()
	if err := os.CopyFS(module, os.DirFS(filepath.Join("testdata", "elsewhere"))); err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(module, "go.mod"), `module example.com/holdfast-storage-shelf

go 1.26.0

require github.com/holdfast/holdfast v0.0.0

replace github.com/holdfast/holdfast => `+harness.Root()+"\n")
	writeFile(t, filepath.Join(module, "go.sum"), string(readFile(t, filepath.Join(harness.Root(), "go.sum"))))
	// -mod=mod completes go.mod, as go mod tidy would.
	goCommand(t, module, "build", "-mod=mod", "-o", filepath.Join(plugins, "holdfast-storage-shelf"), ".")
	for _, pkg := range ours(goCommand(t, module, "list", "-mod=mod", "-deps", ".")) {
		if !strings.HasPrefix(pkg, "github.com/holdfast/holdfast/sdk") {
			t.Errorf("an author's plugin is built from %s: sdk/ must be enough", pkg)
		}
	}

	d, _ := startServer(t, pluginDirectory(plugins)+"storage \"shelf\" {\n  boards = 500\n}\n"+freeListener(t))
	d.awaitOutput(`^Storage: shelf \(HA available\)$`)
	d.awaitOutput("^Storage Plugin: " + filepath.Join(plugins, "holdfast-storage-shelf") + " 0.1.0$")
	client := clientAt(t, d.awaitOutput("^Api Address: (.*)$")[1])
	unsealNew(t, client)
	write(t, client, "sys/mounts/kv", map[string]any{"type": "kv", "options": map[string]string{"version": "2"}})
	write(t, client, "kv/data/a", map[string]any{"data": map[string]any{"v": "kept"}})
	secret, err := client.KVv2("kv").Get(t.Context(), "a")
	if err != nil || secret.Data["v"] != "kept" {
		t.Errorf("read back: %+v, %v", secret, err)
	}
	if !strings.Contains(d.stderr(), "opened a shelf: boards=500") {
		t.Error("what the plugin logs is not in the server's log")
	}
	if !bytes.Equal(host, readFile(t, holdfast(t))) {
		t.Error("the host is another program than before the plugin was built")
	}
}

// TestHostKnowsNoStore: neither a plugin nor a client of a store is compiled into the host.
func TestHostKnowsNoStore(t *testing.T) {
	deps := goCommand(t, harness.Root(), "list", "-deps", "./cmd/holdfast")
	if len(ours(deps)) == 0 {
		t.Fatalf("go list -deps names no package of this module:\n%s", deps)
	}
	for pkg := range strings.Lines(deps) {
		pkg = strings.TrimSpace(pkg)
		for _, foreign := range []string{
			"github.com/hashicorp/consul", "go.etcd.io/", "go-zookeeper",
			"github.com/holdfast/holdfast/plugins", "github.com/holdfast/holdfast/test",
		} {
			if strings.Contains(pkg, foreign) {
				t.Errorf("the host is built from %s", pkg)
			}
		}
	}
}

// ours returns the packages of this module among those that go list has printed.
func ours(list string) []string {
	var pkgs []string
	for pkg := range strings.Lines(list) {
		if pkg = strings.TrimSpace(pkg); strings.HasPrefix(pkg, "github.com/holdfast/holdfast/") {
			pkgs = append(pkgs, pkg)
		}
	}
	return pkgs
}

// goCommand runs the go command in a directory and returns its standard output.
func goCommand(t *testing.T, dir string, args ...string) string {
	t.Helper()
	cmd := exec.Command("go", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOWORK=off")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, stderr.String())
	}
	return string(out)
}

func readFile(t *testing.T, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
