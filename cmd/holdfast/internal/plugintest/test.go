package plugintest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/holdfast/holdfast/sdk/storage"
	"github.com/holdfast/holdfast/sdk/storagetest"
)

// canaryVariable is set in the environment of this process, where no plugin may see it.
const canaryVariable = "HOLDFAST_PLUGIN_TEST_CANARY"

// test runs the suite and reports. The error is about everything but the plugin's promises.
func (c *command) test(o *options) (passed bool, err error) {
	canary := rand.Text()
	if err := os.Setenv(canaryVariable, canary); err != nil {
		return false, fmt.Errorf("set up the environment: %w", err)
	}
	p, err := newProgram(o, canary)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, p.close()) }()
	if err := p.open(c.ctx); err != nil {
		return false, err
	}
	if o.store != "" && o.store != p.store() {
		return false, fmt.Errorf("the data of this plugin lives in a place of kind %q, and -store says %q", p.store(), o.store)
	}
	// The progress is for people; a report that is printed is for programs.
	progress := c.env.Stdout
	if o.report == "" && o.format != "text" {
		progress = c.env.Stderr
	}
	fmt.Fprintf(progress, "%s %s (%s), store: %s\n", p.description.Name, p.description.Version, p.path, p.store())
	started := time.Now()
	report, err := storagetest.Check(c.ctx, p.harness(o), func(r storagetest.Result) { printResult(progress, r) })
	if err != nil {
		return false, err
	}
	out := newDocument(c.env.Version, p, report, started)
	out.printSummary(progress)
	return report.Passed(), c.publish(o, out)
}

// publish writes the report to where it was asked for.
func (c *command) publish(o *options, d *document) error {
	if o.report == "" {
		if o.format == "text" {
			return nil // it was the progress
		}
		return d.write(c.env.Stdout, o.format)
	}
	file, err := os.Create(o.report)
	if err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	if err := errors.Join(d.write(file, o.format), file.Close()); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}

func (p *program) harness(o *options) storagetest.Harness {
	h := storagetest.Harness{
		Open: func(ctx context.Context) (storage.Backend, storage.Capabilities, error) {
			return p.client(ctx, p.spec.Options)
		},
		Expect:    o.expect,
		Checked:   true,
		Disturbed: o.disturbed,
		Program:   p,
		Usage:     p.usage,
		Memory:    p.memory,
		Long:      o.long,
		Seed:      o.seed,
		Only:      o.only,
		Reproduce: func(one storagetest.Case, seed uint64) string { return p.commandLine(o, one.ID, seed) },
	}
	if len(o.elsewhere) > 0 {
		elsewhere := maps.Clone(p.spec.Options)
		maps.Copy(elsewhere, o.elsewhere)
		h.Elsewhere = func(ctx context.Context) (storage.Backend, storage.Capabilities, error) {
			return p.client(ctx, elsewhere)
		}
	}
	if o.link != nil {
		h.Link = func(ctx context.Context) (storagetest.Link, error) { return p.newLink(ctx, o.link) }
	}
	return h
}

// commandLine runs one case again. Secrets are not in it.
func (p *program) commandLine(o *options, id string, seed uint64) string {
	words := []string{"holdfast plugin test", p.path}
	for _, one := range p.assignments(o.config) {
		words = append(words, "-config", shellQuote(one))
	}
	for _, one := range p.assignments(o.elsewhere) {
		words = append(words, "-elsewhere", shellQuote(one))
	}
	if o.link != nil {
		words = append(words, "-link", shellQuote(strings.Join(append([]string{o.link.address}, p.assignments(o.link.more)...), ",")))
	}
	var expect []string
	for _, profile := range o.expect {
		expect = append(expect, string(profile))
	}
	words = append(words, "-expect", strings.Join(expect, ","))
	for _, flag := range o.also {
		words = append(words, shellQuote(flag))
	}
	return strings.Join(append(words, "-run", id, "-seed", strconv.FormatUint(seed, 10)), " ")
}

// assignments are options as NAME=VALUE, by name, without the secrets.
func (p *program) assignments(options map[string]any) []string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(options)) {
		value := fmt.Sprint(options[name])
		if p.secret(name) {
			value = "..."
		}
		all = append(all, name+"="+value)
	}
	return all
}

// shellQuote quotes what a shell would read differently.
func shellQuote(word string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("=-_./:,@%+", r)
	}
	if word != "" && !strings.ContainsFunc(word, func(r rune) bool { return !plain(r) }) {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

func printResult(w io.Writer, r storagetest.Result) {
	fmt.Fprintf(w, "%-7s %-5s %7.2fs  %s\n", r.Status, r.Case.ID, r.Duration.Seconds(), r.Case.Promise)
	for _, note := range r.Notes {
		fmt.Fprintf(w, "        %s\n", note)
	}
	if r.Status == storagetest.Passed {
		return
	}
	for _, failure := range r.Failures {
		fmt.Fprintf(w, "        * %s\n", strings.ReplaceAll(failure, "\n", "\n          "))
	}
	fmt.Fprintf(w, "        reproduce: %s\n", r.Reproduce)
}
