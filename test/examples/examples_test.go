// Package examples tests the example plugins as those who run them meet them: the finished
// programs, in the conformance suite and in clusters.
package examples

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast/holdfast/test/harness"
	"github.com/holdfast/holdfast/test/servers"
)

func TestMain(m *testing.M) { harness.Main(m) }

// example is one of the example plugins.
type example struct {
	name  string // of the storage
	build func(t *testing.T) (program string)
	// start starts what the plugin needs. It returns the options of the storage stanza, and
	// flags by which the suite runs what it could not run without.
	start func(t *testing.T) (options map[string]string, flags []string)
	// notRun says that some cases are about a network, and there is none before the store.
	notRun bool
	cases  string // what the suite runs; empty: all
}

func examples() []example {
	return []example{
		{
			name:  "postgres",
			build: buildGo,
			start: func(t *testing.T) (map[string]string, []string) {
				t.Helper()
				s := servers.PostgreSQL(t)
				return map[string]string{
					"connection_url": "postgres://" + s.Address, // all there is to it: the suite puts a proxy before it
					"username":       s.User, "password": s.Password, "database": s.Database,
				}, []string{"-link=connection_url", "-elsewhere=table=other"}
			},
		},
		{
			name:   "sqlite",
			build:  buildPython,
			notRun: true,
			// Not those that start dozens of processes: Python takes its time for each. make test
			// in its directory runs them too.
			cases: "core,txn,ha,P-01,P-03,P-06,P-08,P-09,P-14,P-15,P-17,P-18,P-19,P-20,P-24,W-01",
			start: func(t *testing.T) (map[string]string, []string) {
				t.Helper()
				dir := t.TempDir()
				return map[string]string{"path": filepath.Join(dir, "data.db")}, []string{"-elsewhere=path=" + filepath.Join(dir, "other.db")}
			},
		},
	}
}

// buildGo builds the plugin for PostgreSQL as its README says: without the race detector, for the
// suite looks at how much memory a program takes. The module's own tests have it.
func buildGo(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "holdfast-storage-postgres")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-o", program, ".")
	cmd.Dir = filepath.Join(harness.Root(), "examples", "postgres")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build the plugin for PostgreSQL: %v\n%s", err, out)
	}
	return program
}

// buildPython builds the plugin in Python as its README says.
func buildPython(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	out, err := exec.CommandContext(t.Context(), "make", "-C", filepath.Join(harness.Root(), "examples", "python"), "BIN="+dir, "build").CombinedOutput()
	if err != nil {
		t.Fatalf("build the plugin in Python: %v (are its packages installed? run `make servers`)\n%s", err, out)
	}
	return filepath.Join(dir, "holdfast-storage-sqlite")
}

// The examples keep every promise, and a cluster on one survives the loss of its active node.
func TestExamples(t *testing.T) {
	for _, e := range examples() {
		t.Run(e.name, func(t *testing.T) {
			t.Parallel() // much of it is waiting
			program := e.build(t)
			t.Run("suite", func(t *testing.T) {
				options, flags := e.start(t)
				conformant(t, e, program, options, flags)
			})
			t.Run("failover", func(t *testing.T) {
				options, _ := e.start(t)
				failover(t, stanza(e.name, program, options))
			})
		})
	}
}

// conformant runs the conformance suite as the guide tells authors to.
func conformant(t *testing.T, e example, program string, options map[string]string, flags []string) {
	path := filepath.Join(t.TempDir(), "report.json")
	args := append([]string{
		"plugin", "test", program, "-expect=core,txn,ha,process", "-store=shared", "-report=" + path, "-format=json",
	}, flags...)
	if e.cases != "" {
		args = append(args, "-run="+e.cases)
	}
	for name, value := range options {
		args = append(args, "-config="+name+"="+value)
	}
	out, err := exec.CommandContext(t.Context(), filepath.Join(harness.Binaries(t), "holdfast"), args...).CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Errorf("the suite: %v", err)
	}
	harness.CheckRaces(t, "the suite", string(out))
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var report struct {
		Passed, Conformant bool
		NotRun             []string `json:"not_run"`
	}
	if err := json.Unmarshal(text, &report); err != nil {
		t.Fatal(err)
	}
	if !report.Passed || report.Conformant != (e.cases == "") || (len(report.NotRun) > 0) != e.notRun {
		t.Errorf("passed %t, conformant %t, not run %q", report.Passed, report.Conformant, report.NotRun)
	}
}

// stanza is the configuration of a server that uses the plugin.
func stanza(name, program string, options map[string]string) string {
	var text strings.Builder
	fmt.Fprintf(&text, "plugin %q {\n  command = %q\n}\nstorage %q {\n", name, program, name)
	for _, option := range slices.Sorted(maps.Keys(options)) {
		fmt.Fprintf(&text, "  %s = %q\n", option, options[option])
	}
	text.WriteString("}\n")
	return text.String()
}
