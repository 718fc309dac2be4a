package plugintest

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/holdfast/holdfast/sdk/storagetest"
	"github.com/holdfast/holdfast/sdk/wire"
)

// A report says which cases were not run, in every format.
func TestReportOfCasesNotRun(t *testing.T) {
	d := newDocument("1", &program{}, &storagetest.Report{
		Expected: []storagetest.Profile{storagetest.Core},
		Results:  []storagetest.Result{{Case: storagetest.Case{ID: "C-01", Profile: storagetest.Core}, Status: storagetest.Passed}},
		Left:     []storagetest.Case{{ID: "C-21", Profile: storagetest.Core, Promise: "It comes back."}},
	}, time.Now())
	written := func(format string) string {
		var out bytes.Buffer
		if err := d.write(&out, format); err != nil {
			t.Fatal(err)
		}
		return out.String()
	}
	var summary bytes.Buffer
	d.printSummary(&summary)
	if text := summary.String(); !strings.Contains(text, "verdict:  conformant (1 cases not run)") || !strings.Contains(text, "C-21") {
		t.Errorf("the summary does not say what was not run:\n%s", text)
	}
	if text := written("junit"); !strings.Contains(text, `tests="2" failures="0" skipped="1"`) || !strings.Contains(text, "<skipped") {
		t.Errorf("JUnit does not say what was not run:\n%s", text)
	}
	var parsed struct {
		NotRun []string `json:"not_run"`
	}
	if err := json.Unmarshal([]byte(written("json")), &parsed); err != nil || len(parsed.NotRun) != 1 || parsed.NotRun[0] != "C-21" {
		t.Errorf("JSON says that %q were not run, %v, want C-21", parsed.NotRun, err)
	}
}

// What reproduces a case has the options of every flag, and the secrets of none.
func TestCommandLineHasNoSecrets(t *testing.T) {
	p := &program{path: "/bin/x", description: wire.Description{Options: []wire.Option{{Name: "address"}, {Name: "path"}, {Name: "token", Secret: true}}}}
	o := &options{}
	flags := (&command{}).flags(o)
	args := []string{"-config=token=hidden-a", "-elsewhere=path=other/", "-elsewhere=token=hidden-b", "-link=address,token=hidden-c"}
	if err := flags.Parse(args); err != nil {
		t.Fatal(err)
	}
	line := p.commandLine(o, "C-01", 7)
	if strings.Contains(line, "hidden") {
		t.Errorf("%s: has a secret", line)
	}
	for _, want := range []string{"-config token=...", "-elsewhere path=other/", "-elsewhere token=...", "-link address,token=..."} {
		if !strings.Contains(line, want) {
			t.Errorf("%s: has not %q", line, want)
		}
	}
	p.spec.Options, p.others = o.config, []map[string]any{o.elsewhere, o.link.more}
	if got := len(p.Secrets()); got != 4 { // the canary too
		t.Errorf("%d secrets are looked for in what the plugin says, want 4", got)
	}
}
