package plugindir

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/holdfast/holdfast/host/plugin"
)

// verifyAction is "plugin verify".
type verifyAction struct{ write bool }

func (*verifyAction) name() string { return "plugin verify" }
func (*verifyAction) synopsis() string {
	return "Check the storage plugins of a directory, or pin them"
}
func (*verifyAction) take(args []string) error { return noArguments(args) }

func (*verifyAction) help() string {
	return `Usage: holdfast plugin verify -plugin-dir=DIR | -config=FILE [-write]

  Checks every storage plugin as a server does before it starts one: that nobody else could
  have changed it, and that it has the sha256 it is pinned to, by plugins.lock in its
  directory or by its plugin stanza (-config). Nothing is started. The exit code is 0 only if all
  are pinned and as they should be.

  With -write it pins the plugins of the directory as they are now, in plugins.lock. It
  writes nothing if others could change one of them, or one is not what the configuration pins.`
}

func (a *verifyAction) declare(f *flag.FlagSet) {
	f.BoolVar(&a.write, "write", false, "write plugins.lock")
}

// checked is one program and what is to be said of it.
type checked struct {
	name  string // of the file, if it is in the directory; else its path, or the type
	local bool   // it is in the directory
	spec  plugin.Spec
	trust plugin.Trust
}

func (a *verifyAction) run(_ context.Context, from source, out io.Writer) (bool, error) {
	specs, err := from.specs()
	if err != nil {
		return false, err
	}
	dir := from.config.PluginDirectory
	if a.write {
		return a.pin(dir, specs, out)
	}
	lock := &plugin.Lock{} // without a directory every plugin has a command or is attached to
	if dir != "" {
		lock, err = plugin.ReadLock(dir)
	}
	if err != nil {
		return false, fmt.Errorf("%w; holdfast plugin verify -write makes a new one", err)
	}
	report := newReport(out)
	all := examine(dir, specs, lock)
	for _, one := range all {
		report.program(one)
	}
	for _, name := range lock.Names() {
		listed := slices.ContainsFunc(all, func(one checked) bool { return one.local && one.name == name })
		if _, err := os.Lstat(filepath.Join(dir, name)); !listed && errors.Is(err, fs.ErrNotExist) {
			report.problem(name, "missing", plugin.LockName+" lists it and it is not there: put it back, or run holdfast plugin verify -write")
		}
	}
	return report.end()
}

// examine looks at the programs of specs, and at other files in dir that the lock lists: a
// plugin stanza of some server may name them as its command.
func examine(dir string, specs []plugin.Spec, lock *plugin.Lock) []checked {
	var all []checked
	for _, spec := range specs {
		one := checked{name: spec.Type, spec: spec}
		if spec.Attach == "" {
			one.trust = plugin.Examine(spec)
			one.name, one.local = nameIn(dir, one.trust.Path)
		}
		all = append(all, one)
	}
	for _, name := range lock.Names() {
		listed := slices.ContainsFunc(all, func(one checked) bool { return one.local && one.name == name })
		if _, err := os.Lstat(filepath.Join(dir, name)); listed || err != nil {
			continue
		}
		spec := plugin.Spec{Type: "command", Directory: dir, Command: name}
		all = append(all, checked{name: name, local: true, spec: spec, trust: plugin.Examine(spec)})
	}
	return all
}

// nameIn returns path as a name in dir, and true, or path itself.
func nameIn(dir, path string) (name string, local bool) {
	root, err := filepath.Abs(dir)
	if err != nil || dir == "" {
		return path, false
	}
	name, err = filepath.Rel(root, path)
	if err != nil || !filepath.IsLocal(name) {
		return path, false
	}
	return name, true
}

// pin writes the lock file.
func (a *verifyAction) pin(dir string, specs []plugin.Spec, out io.Writer) (bool, error) {
	if dir == "" {
		return false, errors.New("say which directory to write to, with -plugin-dir=DIR")
	}
	// One that can not be read is what this command replaces.
	before, err := plugin.ReadLock(dir)
	if err != nil {
		fmt.Fprintf(out, "replaced: %v\n", err)
		before = &plugin.Lock{}
	}
	report := newReport(out)
	sums := map[string]string{}
	for _, one := range examine(dir, specs, before) {
		switch {
		case !one.local || one.trust.Unsafe != nil || one.differsFromConfig():
			report.program(one)
		default:
			sums[one.name] = one.trust.SHA256
			report.line(one.name, changed(before.SHA256(one.name), one.trust.SHA256), one.trust.SHA256)
		}
	}
	well, err := report.end()
	if err != nil {
		return false, err
	}
	if !well {
		return false, fmt.Errorf("%s was not written: put right what is wrong first", plugin.LockName)
	}
	return true, plugin.WriteLock(dir, sums)
}

// differsFromConfig: the configuration pins the program to something else.
func (c checked) differsFromConfig() bool {
	return c.spec.SHA256 != "" && !strings.EqualFold(c.spec.SHA256, c.trust.SHA256)
}

// changed says what becomes of a line of the lock.
func changed(before, now string) string {
	switch before {
	case "":
		return "new"
	case now:
		return "same"
	default:
		return "changed"
	}
}

// report prints a line for each program and remembers whether all was well.
type report struct {
	table *tabwriter.Writer
	bad   int
}

func newReport(out io.Writer) *report {
	return &report{table: tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)}
}

func (r *report) line(name, verdict, about string) {
	fmt.Fprintf(r.table, "%s\t%s\t%s\n", plain(name), verdict, plain(about))
}

func (r *report) problem(name, verdict, about string) {
	r.bad++
	r.line(name, verdict, about)
}

func (r *report) program(one checked) {
	t := one.trust
	switch {
	case one.spec.Attach != "":
		r.line(one.name, "attached", "somebody else runs it, at "+one.spec.Attach)
	case t.Err() != nil:
		r.problem(one.name, "refused", t.Err().Error())
	case t.PinnedBy == "" && one.local:
		r.problem(one.name, "not pinned", "run holdfast plugin verify -write, or set sha256 = \""+t.SHA256+"\" in its plugin stanza")
	case t.PinnedBy == "":
		r.problem(one.name, "not pinned", "set sha256 = \""+t.SHA256+"\" in its plugin stanza")
	case t.ByName:
		r.line(one.name, "ok", t.SHA256+" ("+t.PinnedBy+"; executed by name: neither the interpreter nor what it loads is covered)")
	default:
		r.line(one.name, "ok", t.SHA256+" ("+t.PinnedBy+")")
	}
}

func (r *report) end() (well bool, err error) {
	if err := r.table.Flush(); err != nil {
		return false, fmt.Errorf("print the report: %w", err)
	}
	return r.bad == 0, nil
}
