package plugindir_test

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/holdfast/holdfast/cmd/holdfast/internal/plugindir"
	"github.com/holdfast/holdfast/host/plugin"
	"github.com/holdfast/holdfast/sdk"
	"github.com/holdfast/holdfast/sdk/storage"
)

// The test binary, linked under the name of a plugin, is that plugin.
func TestMain(m *testing.M) {
	if name, ok := strings.CutPrefix(filepath.Base(os.Args[0]), plugin.ProgramPrefix); ok {
		sdk.Main(sdk.Plugin[options, storage.Backend]{
			Name: name, Version: "1.2.3", Defaults: options{Path: "p/"},
			Open: func(context.Context, options, sdk.Env) (storage.Backend, storage.Capabilities, error) {
				panic("a plugin that is inspected is not configured")
			},
		})
		return
	}
	os.Exit(m.Run())
}

// patience is how long a test waits for a plugin that has to answer.
const patience = "1m"

type options struct {
	Address string `config:"address" desc:"where the store is" required:"true"`
	Path    string `config:"path" desc:"where the data is"`
	Token   string `config:"token" desc:"access token" secret:"true"`
}

// directory returns a plugin directory with the test plugin under the given types.
func directory(t *testing.T, types ...string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, one := range types {
		path := filepath.Join(dir, plugin.ProgramPrefix+one)
		if os.Link(self, path) == nil {
			continue
		}
		program, err := os.ReadFile(self) // on another file system
		if err != nil {
			t.Fatal(err)
		}
		put(t, dir, filepath.Base(path), string(program), 0o755)
	}
	return dir
}

// put makes a new file: what is there may be a link to this program.

func put(t *testing.T, dir, name, text string, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
	return path
}

// run executes one command line and returns its exit code and what it printed.
func run(t *testing.T, name string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, problems strings.Builder
	command, err := plugindir.Commands(t.Context(), plugindir.Env{Stdout: &out, Stderr: &problems})[name]()
	if err != nil {
		t.Fatal(err)
	}
	code = command.Run(args)
	return code, out.String(), problems.String()
}

// want checks the exit code and that all of texts were printed.
func want(t *testing.T, code, wanted int, text string, texts ...string) {
	t.Helper()
	if code != wanted {
		t.Errorf("exit code %d, want %d", code, wanted)
	}
	for _, one := range texts {
		if !strings.Contains(text, one) {
			t.Errorf("no %q in:\n%s", one, text)
		}
	}
}

// A list has a line for each plugin, also for those that do not start, and none takes long.
func TestList(t *testing.T) {
	dir := directory(t)
	put(t, dir, "holdfast-storage-broken", "#!/bin/sh\necho no such cluster: atlantis >&2\nexit 3\n", 0o755)
	put(t, dir, "holdfast-storage-open", "#!/bin/sh\ntouch started\n", 0o777)
	put(t, dir, "README", "not a plugin", 0o644)
	code, out, _ := run(t, "plugin list", "-timeout", patience, "-plugin-dir", dir)
	want(t, code, 0, out, "TYPE", "PINNED BY",
		"\nbroken: start plugin", "exit status 3", "no such cluster: atlantis",
		"\nopen: plugin", "is writable by its group or by everyone")
	if strings.Contains(out, "README") {
		t.Errorf("what is no plugin is listed:\n%s", out)
	}
	dir = directory(t)
	put(t, dir, "holdfast-storage-hangs", "#!/bin/sh\nexec sleep 1000\n", 0o755)
	code, out, _ = run(t, "plugin list", "-timeout", "1s", "-plugin-dir", dir)
	want(t, code, 0, out, "\nhangs: start plugin", "no handshake in time")
	dir = directory(t, "well")
	code, out, _ = run(t, "plugin list", "-timeout", patience, "-plugin-dir", dir)
	want(t, code, 0, out, "well", "1.2.3", "v1", "not pinned")
	code, out, _ = run(t, "plugin list", "-timeout", patience, "-format=json", "-plugin-dir", dir)
	var list []struct {
		Type, Path, Version, SHA256 string
		Protocol                    int
		HA                          bool
		Options                     []struct{ Name string }
		Problem                     string
	}
	if err := json.Unmarshal([]byte(out), &list); err != nil || code != 0 || len(list) != 1 {
		t.Fatalf("exit code %d, %v:\n%s", code, err, out)
	}
	if got := list[0]; got.Type != "well" || got.Version != "1.2.3" || got.Protocol != 1 || got.HA || len(got.SHA256) != 64 || len(got.Options) != 4 || got.Problem != "" {
		t.Errorf("got %+v", got)
	}
}

func TestInfo(t *testing.T) {
	dir := directory(t, "well")
	put(t, dir, "holdfast-storage-broken", "#!/bin/sh\nexit 3\n", 0o755)
	code, out, _ := run(t, "plugin info", "well", "-timeout", patience, "-plugin-dir", dir)
	want(t, code, 0, out, "1.2.3", "holdfast.storage.v1.Backend", "not pinned", dir,
		"(required) where the store is", "(p/) where the data is", "access token [secret]")
	code, out, _ = run(t, "plugin info", "-timeout", patience, "-plugin-dir", dir, "holdfast-storage-broken")
	want(t, code, 1, out, "Problem", "exit status 3", "by name, as scripts are")
	for wanted, args := range map[string][]string{
		`no plugin for storage "wel", did you mean "well"?`: {"wel", "-plugin-dir", dir},
		"there are plugins for broken, well":                {"zookeeper", "-plugin-dir", dir},
		"say which plugin":                                  {"-plugin-dir", dir},
		"say where the plugins are":                         {"well"},
		"want table or json":                                {"well", "-plugin-dir", dir, "-format=yaml"},
		"no such file":                                      {"well", "-config", dir + "/none.hcl"},
	} {
		code, _, problems := run(t, "plugin info", args...)
		want(t, code, 1, problems, wanted)
	}
}

// verify says of each program what is wrong, and -write pins them.
func TestVerify(t *testing.T) {
	dir := directory(t, "a", "b")
	command := put(t, dir, "wrapper", "#!/bin/sh\n", 0o755)
	code, out, _ := run(t, "plugin verify", "-plugin-dir", dir)
	want(t, code, 1, out, "holdfast-storage-a  not pinned", "holdfast-storage-b  not pinned", "run holdfast plugin verify -write")

	code, out, _ = run(t, "plugin verify", "-write", "-plugin-dir", dir)
	want(t, code, 0, out, "holdfast-storage-a  new", "holdfast-storage-b  new")
	code, out, _ = run(t, "plugin verify", "-plugin-dir", dir)
	want(t, code, 0, out, "holdfast-storage-a  ok", "(lock)")

	put(t, dir, "holdfast-storage-b", "#!/bin/sh\n", 0o755)
	code, out, _ = run(t, "plugin verify", "-plugin-dir", dir)
	want(t, code, 1, out, "holdfast-storage-a  ok", "holdfast-storage-b  refused", "install the pinned program", "plugins.lock, line 2")
	code, out, _ = run(t, "plugin list", "-timeout", patience, "-plugin-dir", dir)
	want(t, code, 0, out, "\nb: check sha256 of plugin")

	// What else the lock lists is checked and kept.
	lock, err := plugin.ReadLock(dir)
	if err != nil {
		t.Fatal(err)
	}
	sums := map[string]string{"holdfast-storage-a": lock.SHA256("holdfast-storage-a"), "wrapper": strings.Repeat("0", 64), "gone": strings.Repeat("1", 64)}
	if err := plugin.WriteLock(dir, sums); err != nil {
		t.Fatal(err)
	}
	code, out, _ = run(t, "plugin verify", "-plugin-dir", dir)
	want(t, code, 1, out, "wrapper             refused", "gone                missing", "holdfast-storage-b  not pinned")
	code, out, _ = run(t, "plugin verify", "-write", "-plugin-dir", dir)
	want(t, code, 0, out, "wrapper             changed", "holdfast-storage-a  same", "holdfast-storage-b  new")
	code, out, _ = run(t, "plugin verify", "-plugin-dir", dir)
	want(t, code, 0, out, "executed by name")
	if strings.Contains(out, "gone") {
		t.Errorf("the lock still lists what is gone:\n%s", out)
	}

	// Nothing is pinned that others could have changed.
	if err := os.Chmod(command, 0o777); err != nil {
		t.Fatal(err)
	}
	code, out, problems := run(t, "plugin verify", "-write", "-plugin-dir", dir)
	want(t, code, 1, out+problems, "wrapper             refused", "chmod go-w", "plugins.lock was not written")
	put(t, dir, plugin.LockName, "nonsense\n", 0o644)
	code, _, problems = run(t, "plugin verify", "-plugin-dir", dir)
	want(t, code, 1, problems, "plugins.lock, line 1", "verify -write makes a new one")
	code, out, _ = run(t, "plugin verify", "-write", "-plugin-dir", dir)
	want(t, code, 0, out, "replaced: lock file", "holdfast-storage-a  new")
}

// With a configuration its pins count, and a pin that differs from the lock is a mistake.
func TestVerifyConfig(t *testing.T) {
	dir := directory(t, "a")
	elsewhere := put(t, directory(t), "elsewhere", "#!/bin/sh\n", 0o755)
	zeros := strings.Repeat("0", 64)
	base := "plugin_directory = \"" + dir + "\"\nstorage \"a\" {}\nlistener \"tcp\" { tls_disable = true }\n"
	config := put(t, t.TempDir(), "h.hcl", base+
		`plugin "a" { sha256 = "`+zeros+`" }`+"\n"+
		`plugin "b" { command = "`+elsewhere+`" }`+"\n"+
		`plugin "c" { attach = "unix:///c" }`+"\n", 0o600)
	code, out, _ := run(t, "plugin verify", "-config", config)
	want(t, code, 1, out, "holdfast-storage-a", "refused", "pinned is 000", "by the configuration", elsewhere, "not pinned  set sha256", "attached")
	code, out, problems := run(t, "plugin verify", "-write", "-config", config)
	want(t, code, 1, out+problems, "pinned is 000", "was not written")
	if code, out, _ := run(t, "plugin verify", "-write", "-plugin-dir", dir); code != 0 {
		t.Fatal(out)
	}
	code, out, _ = run(t, "plugin verify", "-config", config)
	want(t, code, 1, out, "is pinned to 000", "by the configuration and to", "plugins.lock, line 1", "correct the one that is wrong")
}
