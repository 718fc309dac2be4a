package plugintest

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/holdfast/holdfast/host/plugin"
	"github.com/holdfast/holdfast/sdk/storagetest"
	"github.com/holdfast/holdfast/sdk/wire"
)

// document is a report as it is written.
type document struct {
	Holdfast   string                                `json:"holdfast"`
	Plugin     pluginEntry                           `json:"plugin"`
	Store      string                                `json:"store"`
	Seed       uint64                                `json:"seed"`
	Started    time.Time                             `json:"started"`
	Seconds    float64                               `json:"seconds"`
	Limits     limitsEntry                           `json:"limits"`
	Expected   []storagetest.Profile                 `json:"expected"`
	Offered    []storagetest.Profile                 `json:"offered"`
	Missing    []storagetest.Profile                 `json:"missing"`
	Profiles   map[storagetest.Profile]*profileEntry `json:"profiles"`
	Selected   bool                                  `json:"selected"`   // only some cases were asked for
	Passed     bool                                  `json:"passed"`     // all that ran
	Conformant bool                                  `json:"conformant"` // all that is expected is offered, and passed unless it is in not_run
	Cases      []caseEntry                           `json:"cases"`
	NotRun     []string                              `json:"not_run"` // ids; for want of -elsewhere or -link

	left []storagetest.Case // those not run
}

type pluginEntry struct {
	Name     string   `json:"name"`
	Version  string   `json:"version"`
	SDK      string   `json:"sdk"`
	Path     string   `json:"path"`
	SHA256   string   `json:"sha256"`
	Protocol int      `json:"protocol"`
	Services []string `json:"services"`
}

type limitsEntry struct {
	KeyBytes   int `json:"max_key_bytes"`
	ValueBytes int `json:"max_value_bytes"`
	Ops        int `json:"max_ops"`
	BatchBytes int `json:"max_batch_bytes"`
}

type profileEntry struct {
	Passed  int     `json:"passed"`
	Failed  int     `json:"failed"`
	Skipped int     `json:"skipped"`
	Seconds float64 `json:"seconds"`
}

type caseEntry struct {
	ID        string              `json:"id"`
	Profile   storagetest.Profile `json:"profile"`
	Status    storagetest.Status  `json:"status"`
	Seconds   float64             `json:"seconds"`
	Promise   string              `json:"promise"`
	Failures  []string            `json:"failures,omitempty"`
	Notes     []string            `json:"notes,omitempty"`
	Reproduce string              `json:"reproduce,omitempty"`
}

func newDocument(version string, p *program, r *storagetest.Report, started time.Time) *document {
	limits := r.Capabilities.Limits
	d := &document{
		Holdfast: version,
		Plugin: pluginEntry{
			Name: p.description.Name, Version: p.description.Version, SDK: p.description.SDK,
			Path: p.path, SHA256: p.sha256, Protocol: wire.ProtocolVersion, Services: p.description.Services,
		},
		Store:      p.store(),
		Seed:       r.Seed,
		Started:    started.UTC().Truncate(time.Second),
		Seconds:    time.Since(started).Seconds(),
		Limits:     limitsEntry{limits.MaxKeyBytes, limits.MaxValueBytes, limits.MaxOps, limits.MaxBatchBytes},
		Expected:   r.Expected,
		Offered:    r.Offered,
		Missing:    append([]storagetest.Profile{}, r.Missing...),
		Profiles:   make(map[storagetest.Profile]*profileEntry),
		Selected:   r.Selected,
		Passed:     r.Passed(),
		Conformant: r.Passed() && !r.Selected,
		NotRun:     make([]string, 0, len(r.Left)),
		left:       r.Left,
	}
	for _, left := range r.Left {
		d.NotRun = append(d.NotRun, left.ID)
	}
	for _, result := range r.Results {
		entry := d.Profiles[result.Case.Profile]
		if entry == nil {
			entry = &profileEntry{}
			d.Profiles[result.Case.Profile] = entry
		}
		entry.Seconds += result.Duration.Seconds()
		one := caseEntry{
			ID: result.Case.ID, Profile: result.Case.Profile, Status: result.Status, Seconds: result.Duration.Seconds(),
			Promise: result.Case.Promise, Failures: result.Failures, Notes: result.Notes,
		}
		switch result.Status {
		case storagetest.Passed:
			entry.Passed++
		case storagetest.Failed:
			entry.Failed++
		case storagetest.Skipped:
			entry.Skipped++
		}
		if result.Status != storagetest.Passed {
			one.Reproduce = result.Reproduce
		}
		d.Cases = append(d.Cases, one)
	}
	return d
}

func (d *document) write(w io.Writer, format string) error {
	switch format {
	case "json":
		encoder := json.NewEncoder(w)
		encoder.SetEscapeHTML(false)
		encoder.SetIndent("", "  ")
		return encoder.Encode(d)
	case "junit":
		return d.writeJUnit(w)
	default:
		return d.writeText(w)
	}
}

func (d *document) writeText(w io.Writer) error {
	var b strings.Builder
	for _, one := range d.Cases {
		printResult(&b, storagetest.Result{
			Case:   storagetest.Case{ID: one.ID, Promise: one.Promise},
			Status: one.Status, Duration: time.Duration(one.Seconds * float64(time.Second)),
			Failures: one.Failures, Notes: one.Notes, Reproduce: one.Reproduce,
		})
	}
	d.printSummary(&b)
	_, err := io.WriteString(w, b.String())
	return err
}

// printSummary prints what was tested, and the verdict.
func (d *document) printSummary(w io.Writer) {
	fmt.Fprintf(w, "\nplugin:   %s %s, protocol %d\n", d.Plugin.Name, d.Plugin.Version, d.Plugin.Protocol)
	fmt.Fprintf(w, "binary:   %s\nsha256:   %s\n", d.Plugin.Path, d.Plugin.SHA256)
	fmt.Fprintf(w, "store:    %s\nlimits:   keys %d bytes, values %d bytes, batches %d ops and %d bytes\n",
		d.Store, d.Limits.KeyBytes, d.Limits.ValueBytes, d.Limits.Ops, d.Limits.BatchBytes)
	fmt.Fprintf(w, "seed:     %d\n", d.Seed)
	for _, profile := range storagetest.Profiles() {
		if entry := d.Profiles[profile]; entry != nil {
			fmt.Fprintf(w, "%-9s %d passed, %d failed, %d skipped in %.1fs\n",
				profile+":", entry.Passed, entry.Failed, entry.Skipped, entry.Seconds)
		}
	}
	for _, profile := range d.Missing {
		fmt.Fprintf(w, "%-9s expected, and the plugin does not offer it\n", profile+":")
	}
	if len(d.NotRun) > 0 {
		fmt.Fprintf(w, "not run:  %s, which need -elsewhere or -link\n", strings.Join(d.NotRun, ", "))
	}
	switch {
	case d.Conformant && len(d.NotRun) > 0:
		fmt.Fprintf(w, "verdict:  conformant (%d cases not run) in %.1fs\n", len(d.NotRun), d.Seconds)
	case d.Conformant:
		fmt.Fprintf(w, "verdict:  conformant in %.1fs\n", d.Seconds)
	case d.Passed:
		fmt.Fprintf(w, "verdict:  the cases asked for passed in %.1fs; they say nothing of the others\n", d.Seconds)
	default:
		fmt.Fprintf(w, "verdict:  NOT conformant\n")
	}
}

// The elements of a JUnit report.
type (
	junitSuite struct {
		XMLName    xml.Name        `xml:"testsuite"`
		Name       string          `xml:"name,attr"`
		Tests      int             `xml:"tests,attr"`
		Failures   int             `xml:"failures,attr"`
		Skipped    int             `xml:"skipped,attr"`
		Time       string          `xml:"time,attr"`
		Timestamp  string          `xml:"timestamp,attr"`
		Properties []junitProperty `xml:"properties>property"`
		Cases      []junitCase     `xml:"testcase"`
	}
	junitProperty struct {
		Name  string `xml:"name,attr"`
		Value string `xml:"value,attr"`
	}
	junitCase struct {
		Class   string        `xml:"classname,attr"`
		Name    string        `xml:"name,attr"`
		Time    string        `xml:"time,attr"`
		Failure *junitMessage `xml:"failure,omitempty"`
		Skipped *junitMessage `xml:"skipped,omitempty"`
	}
	junitMessage struct {
		Message string `xml:"message,attr"`
		Text    string `xml:",chardata"`
	}
)

func (d *document) writeJUnit(w io.Writer) error {
	suite := junitSuite{
		Name: plugin.ProgramPrefix + d.Plugin.Name, Time: seconds(d.Seconds), Timestamp: d.Started.Format(time.RFC3339),
		Properties: []junitProperty{
			{"version", d.Plugin.Version},
			{"sha256", d.Plugin.SHA256},
			{"protocol", strconv.Itoa(d.Plugin.Protocol)},
			{"store", d.Store},
			{"seed", strconv.FormatUint(d.Seed, 10)},
		},
	}
	for _, one := range d.Cases {
		entry := junitCase{Class: string(one.Profile), Name: one.ID + " " + one.Promise, Time: seconds(one.Seconds)}
		message := &junitMessage{
			Message: one.Promise,
			Text:    strings.Join(append(append([]string{}, one.Failures...), "reproduce: "+one.Reproduce), "\n"),
		}
		switch one.Status {
		case storagetest.Failed:
			entry.Failure = message
			suite.Failures++
		case storagetest.Skipped:
			entry.Skipped = message
			suite.Skipped++
		case storagetest.Passed:
		}
		suite.Cases = append(suite.Cases, entry)
	}
	for _, one := range d.left {
		suite.Skipped++
		suite.Cases = append(suite.Cases, junitCase{
			Class: string(one.Profile), Name: one.ID + " " + one.Promise, Time: seconds(0),
			Skipped: &junitMessage{Message: "not run, for want of -elsewhere or -link"},
		})
	}
	for _, profile := range d.Missing {
		suite.Failures++
		suite.Cases = append(suite.Cases, junitCase{
			Class: string(profile), Name: "offers profile " + string(profile), Time: seconds(0),
			Failure: &junitMessage{Message: "expected, and the plugin does not offer it"},
		})
	}
	suite.Tests = len(suite.Cases)
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	encoder := xml.NewEncoder(w)
	encoder.Indent("", "  ")
	return encoder.Encode(suite)
}

func seconds(s float64) string { return fmt.Sprintf("%.3f", s) }
