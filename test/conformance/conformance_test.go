package conformance

import (
	"bufio"
	"context"
	"encoding/json"
	"encoding/xml"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/holdfast/holdfast/test/harness"
)

// report is what these tests read of a report in JSON.
type report struct {
	Plugin struct {
		Name, Version, SHA256 string
		Protocol              int
	}
	Store      string
	Seed       uint64
	Missing    []string
	Passed     bool
	Conformant bool
	NotRun     []string `json:"not_run"`
	Cases      []struct {
		ID, Profile, Status string
		Failures            []string
	}
}

func plugin(t *testing.T, name string) string {
	t.Helper()
	return filepath.Join(harness.Binaries(t), "plugins", "holdfast-storage-"+name)
}

// suite runs holdfast plugin test and returns its exit code and report.
func suite(t *testing.T, name string, config map[string]string, flags ...string) (code int, r report) {
	t.Helper()
	s := newSuite(t.Context(), t, name, config, flags...)
	s.run(func(string) {})
	return s.end(t)
}

// suiteRun is one run of holdfast plugin test.
type suiteRun struct {
	cmd    *exec.Cmd
	path   string // of the report
	output strings.Builder
	err    error // why it could not run
}

// newSuite prepares a run, which is killed when ctx ends.
func newSuite(ctx context.Context, t *testing.T, name string, config map[string]string, flags ...string) *suiteRun {
	t.Helper()
	s := &suiteRun{path: filepath.Join(t.TempDir(), "report.json")}
	// With the race detector every orderly exit of a process would take a second longer.
	args := append([]string{"plugin", "test", plugin(t, name), "-report", s.path, "-format=json", "-env=GORACE=atexit_sleep_ms=0"}, flags...)
	for _, option := range slices.Sorted(maps.Keys(config)) {
		args = append(args, "-config", option+"="+config[option])
	}
	s.cmd = exec.CommandContext(ctx, filepath.Join(harness.Binaries(t), "holdfast"), args...)
	return s
}

// run runs the suite to its end and shows each line to watch when it is printed. It may be
// called from any goroutine.
func (s *suiteRun) run(watch func(line string)) {
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		s.err = err
		return
	}
	s.cmd.Stderr = s.cmd.Stdout
	if s.err = s.cmd.Start(); s.err != nil {
		return
	}
	for lines := bufio.NewReader(out); ; {
		line, err := lines.ReadString('\n')
		watch(line)
		s.output.WriteString(line)
		if err != nil { // it has ended
			break
		}
	}
	_ = s.cmd.Wait() // how it ended is the exit code
}

// end returns the exit code and the report of a run that is over.
func (s *suiteRun) end(t *testing.T) (code int, r report) {
	t.Helper()
	t.Logf("%s", s.output.String())
	if s.err != nil {
		t.Fatal(s.err)
	}
	harness.CheckRaces(t, "the suite or the plugin", s.output.String())
	text, err := os.ReadFile(s.path)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &r); err != nil {
		t.Fatal(err)
	}
	return s.cmd.ProcessState.ExitCode(), r
}

const allProfiles = "-expect=core,txn,ha,process"

// On a single server every bundled plugin keeps every promise, and gives the answers of the
// model.
func TestPlugins(t *testing.T) {
	for _, s := range stores() {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel() // much of it is waiting, for disks and for what must not happen
			config := s.single(t)
			t.Run("suite", func(t *testing.T) { conformant(t, s, config) })
			t.Run("model", func(t *testing.T) { behavesAsTheModel(t, s, config) })
		})
	}
}

func conformant(t *testing.T, s store, config map[string]string) {
	flags := []string{allProfiles, "-store=" + s.kind, s.elsewhere}
	if s.link != "" {
		flags = append(flags, s.link)
	}
	code, r := suite(t, s.name, config, flags...)
	if code != 0 || !r.Conformant || len(r.Cases) == 0 {
		t.Errorf("exit code %d, conformant %t after %d cases", code, r.Conformant, len(r.Cases))
	}
	if r.Plugin.Name != s.name || r.Plugin.Version == "" || len(r.Plugin.SHA256) != 64 || r.Plugin.Protocol == 0 || r.Seed == 0 {
		t.Errorf("the report does not say what was tested: %+v, seed %d", r.Plugin, r.Seed)
	}
	for _, one := range r.Cases {
		if one.Status != "passed" {
			t.Errorf("%s: %s %q", one.ID, one.Status, one.Failures)
		}
	}
	if s.link != "" && len(r.NotRun) > 0 {
		t.Errorf("not run: %q", r.NotRun)
	}
}

// leaderLife is how long a leader of the store lives while the suite runs.
const leaderLife = 2 * time.Second

// On three members every promise holds; those of batches and of high availability while the
// store loses its leader again and again. Members that share two cores may depose
// a leader at any time, so the suite is told to expect it all the time.
func TestPluginsWhileLeadersDie(t *testing.T) {
	for _, s := range stores() {
		if s.members == nil {
			continue // a single server is its own leader
		}
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			config, killLeader := s.members(t)
			ctx, cancel := context.WithCancel(t.Context())
			run := newSuite(ctx, t, s.name, config, allProfiles, "-store="+s.kind, s.elsewhere, "-disturbed")
			done := make(chan struct{})
			var deadly atomic.Bool // leaders die now
			go func() {
				defer close(done)
				run.run(func(line string) {
					if fields := strings.Fields(line); len(fields) > 1 {
						deadly.Store(strings.HasPrefix(fields[1], "T-") || deadly.Load() && !strings.HasPrefix(fields[1], "P-"))
					}
				})
			}()
			defer func() { // also when killLeader ends the test
				cancel()
				<-done
			}()
			kills := 0
			for alive := true; alive; {
				select {
				case <-done:
					alive = false
				case <-time.After(leaderLife):
					if deadly.Load() {
						killLeader()
						kills++
					}
				}
			}
			t.Logf("%d leaders died", kills)
			code, r := run.end(t)
			if code != 0 || !r.Passed || kills < 2 {
				t.Errorf("exit code %d, passed %t while %d leaders died, want 2 at least", code, r.Passed, kills)
			}
		})
	}
}

// A store that fails now and then, as inmem does on request, keeps its promises.
func TestFaultyStoreIsConformant(t *testing.T) {
	code, r := suite(t, "inmem", map[string]string{"fault_rate": "50"}, "-expect=core,txn,ha", "-run=core,txn,ha", "-disturbed")
	if code != 0 || !r.Passed {
		t.Errorf("exit code %d, passed %t", code, r.Passed)
	}
	// If nobody says so, a failing store breaks its promises.
	code, r = suite(t, "inmem", map[string]string{"fault_rate": "50"}, "-expect=core", "-run=C-15,H-05", "-seed=1")
	if code == 0 || r.Passed {
		t.Errorf("a store that fails was found conformant: exit code %d", code)
	}
}

// What the caller expects decides.
func TestExpectations(t *testing.T) {
	off := map[string]string{"ha_enabled": "false"}
	if code, r := suite(t, "inmem", off, "-expect=core,ha", "-run=C-01"); code != 1 || r.Passed || !slices.Equal(r.Missing, []string{"ha"}) {
		t.Errorf("ha is expected and switched off: exit code %d, missing %q", code, r.Missing)
	}
	code, r := suite(t, "inmem", off, "-expect=core", "-run=C-01")
	if code != 0 || !r.Passed || r.Conformant {
		t.Errorf("one case of core: exit code %d, passed %t, conformant %t; want it to say nothing of the others", code, r.Passed, r.Conformant)
	}
}

func TestUsage(t *testing.T) {
	run := func(args ...string) (int, string) {
		cmd := exec.CommandContext(t.Context(), filepath.Join(harness.Binaries(t), "holdfast"), append([]string{"plugin", "test"}, args...)...)
		out, _ := cmd.CombinedOutput() // how it ended is the exit code
		return cmd.ProcessState.ExitCode(), string(out)
	}
	inmem := plugin(t, "inmem")
	for want, args := range map[string][]string{
		"say which plugin to test":        {"-expect=core"},
		"say what you expect":             {inmem},
		`no profile "fast"`:               {inmem, "-expect=fast"},
		`no case "C-99"`:                  {inmem, "-expect=core", "-run=C-99"},
		"want text, json or junit":        {inmem, "-expect=core", "-format=yaml"},
		"one plugin at a time":            {inmem, inmem, "-expect=core"},
		"no such file":                    {inmem + "-none", "-expect=core"},
		`"speed" is unknown`:              {inmem, "-expect=core", "-config=speed=1"},
		`kind "process", and -store says`: {inmem, "-expect=core", "-store=shared"},
		"want NAME=VALUE":                 {inmem, "-expect=core", "-config=speed"},
		"want OPTION":                     {inmem, "-expect=core", "-link=a=b"},
	} {
		if code, out := run(args...); code != 1 || !strings.Contains(out, want) {
			t.Errorf("%q: exit code %d, want 1 and %q:\n%s", args, code, want, out)
		}
	}
	if code, out := run("-list"); code != 0 || !strings.Contains(out, "C-04") || !strings.Contains(out, "P-20") {
		t.Errorf("-list: exit code %d:\n%s", code, out)
	}
	// Flags stand before or after the plugin, and JUnit is XML.
	code, out := run("-expect", "core", inmem, "-run", "C-01,C-04", "-format", "junit", "-seed", "5", "-report", filepath.Join(t.TempDir(), "r.xml"))
	if code != 0 || !strings.Contains(out, "seed:     5") {
		t.Errorf("exit code %d:\n%s", code, out)
	}
	cmd := exec.CommandContext(t.Context(), filepath.Join(harness.Binaries(t), "holdfast"),
		"plugin", "test", inmem, "-expect=core", "-run=C-01,C-04", "-format=junit")
	text, err := cmd.Output()
	var parsed struct {
		Tests int `xml:"tests,attr"`
		Cases []struct {
			Name string `xml:"name,attr"`
		} `xml:"testcase"`
	}
	if err != nil || xml.Unmarshal(text, &parsed) != nil || parsed.Tests != 2 || len(parsed.Cases) != 2 {
		t.Errorf("junit: %v, %+v:\n%s", err, parsed, text)
	}
}
