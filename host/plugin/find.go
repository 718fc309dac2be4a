package plugin

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
)

var typeName = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]*$`)

// program is a file that passed every check.
type program struct {
	path string // as the operator knows it
	// image is the open file whose bytes were hashed, when it is to be executed by
	// descriptor; nil means execute path. Whoever has the program closes it.
	image *os.File
	// pinnedBy is what it was held to: PinnedByConfig, PinnedByLock, or empty.
	pinnedBy string
}

func (p program) close() {
	if p.image != nil {
		_ = p.image.Close() // opened for reading
	}
}

// List returns the storage types that the plugins in dir offer, sorted: the files
// whose names say so. It does not check that they can be run.
func List(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("list plugin directory: %w", err)
	}
	var types []string
	for _, entry := range entries {
		name, ok := strings.CutPrefix(entry.Name(), ProgramPrefix)
		if ok && !entry.IsDir() && typeName.MatchString(name) {
			types = append(types, name)
		}
	}
	slices.Sort(types)
	return types, nil
}

// find returns the program of spec once it is safe to execute, and what it is pinned to if it
// is pinned.
func find(spec Spec) (program, error) {
	c, err := lookAt(spec)
	if err != nil {
		return program{}, err
	}
	want, err := pinOf(spec, c)
	if err != nil || want == nil {
		return program{path: c.path}, err
	}
	image, err := openPinned(c, want)
	return program{path: c.path, image: image, pinnedBy: want.by}, err
}

// candidate is a program that nobody else may replace.
type candidate struct {
	dir, path string      // as the operator knows them
	info      fs.FileInfo // of the file, behind all links
}

// lookAt checks everything about the program of spec but its bytes.
func lookAt(spec Spec) (candidate, error) {
	path, err := locate(spec)
	if err != nil {
		return candidate{}, err
	}
	dir := filepath.Dir(path)
	if spec.Command == "" || !filepath.IsAbs(spec.Command) {
		dir = filepath.Clean(spec.Directory)
	}
	if err := checkDirectory(dir); err != nil {
		return candidate{}, err
	}
	info, err := checkProgram(spec, dir, path)
	return candidate{dir: dir, path: path, info: info}, err
}

// locate returns the absolute path that spec means, without looking at the file.
func locate(spec Spec) (string, error) {
	if !typeName.MatchString(spec.Type) {
		return "", fmt.Errorf("storage type %q is not a name: want lower-case letters, digits, - and _", spec.Type)
	}
	if filepath.IsAbs(spec.Command) {
		return filepath.Clean(spec.Command), nil
	}
	name := spec.Command
	if name == "" {
		name = ProgramPrefix + spec.Type
	}
	if spec.Directory == "" {
		return "", fmt.Errorf("no plugin directory: set plugin_directory to the directory that holds %s", name)
	}
	if !filepath.IsLocal(name) {
		return "", fmt.Errorf("plugin command %q leaves the plugin directory: give an absolute path", name)
	}
	path, err := filepath.Abs(filepath.Join(spec.Directory, name))
	if err != nil {
		return "", fmt.Errorf("resolve plugin directory: %w", err)
	}
	return path, nil
}

func checkDirectory(dir string) error {
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("plugin directory %s does not exist", dir)
	case err != nil:
		return fmt.Errorf("look at plugin directory: %w", err)
	case !info.IsDir():
		return fmt.Errorf("plugin directory %s is not a directory", dir)
	}
	return checkOwner("plugin directory", dir, info)
}

// checkProgram looks at path, which lies below dir, and at what it links to.
func checkProgram(spec Spec, dir, path string) (fs.FileInfo, error) {
	target, err := filepath.EvalSymlinks(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("no plugin for storage %q: %s does not exist; %s", spec.Type, path, holds(dir))
	}
	if err != nil {
		return nil, fmt.Errorf("look at plugin: %w", err)
	}
	root, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return nil, fmt.Errorf("look at plugin directory: %w", err)
	}
	root, err = filepath.Abs(root)
	if err != nil {
		return nil, fmt.Errorf("resolve plugin directory: %w", err)
	}
	if rel, err := filepath.Rel(root, target); err != nil || !filepath.IsLocal(rel) {
		return nil, fmt.Errorf("plugin %s is a link that leaves its directory, to %s: put the program itself there", path, target)
	}
	if err := checkDirectory(filepath.Dir(target)); err != nil {
		return nil, err
	}
	info, err := os.Stat(target)
	switch {
	case err != nil:
		return nil, fmt.Errorf("look at plugin: %w", err)
	case info.IsDir():
		return nil, fmt.Errorf("plugin %s is a directory, not a program", path)
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("plugin %s is not a regular file (%s)", path, info.Mode().Type())
	case info.Mode().Perm()&0o111 == 0:
		return nil, fmt.Errorf("plugin %s is not executable (mode %04o): run chmod 0755 on it", path, info.Mode().Perm())
	}
	return info, checkOwner("plugin", path, info)
}

// checkOwner refuses what somebody else could replace.
func checkOwner(what, path string, info fs.FileInfo) error {
	if perm := info.Mode().Perm(); perm&0o022 != 0 {
		return fmt.Errorf("%s %s is writable by its group or by everyone (mode %04o): run chmod go-w on it", what, path, perm)
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return fmt.Errorf("%s %s: the owner can not be told on this system", what, path)
	}
	if self := os.Geteuid(); stat.Uid != 0 && int(stat.Uid) != self {
		return fmt.Errorf("%s %s belongs to user %d: it must belong to root or to user %d, who runs this server",
			what, path, stat.Uid, self)
	}
	return nil
}

// holds says what an operator could have meant.
func holds(dir string) string {
	types, err := List(dir)
	if err != nil || len(types) == 0 {
		return fmt.Sprintf("%s holds no storage plugins", dir)
	}
	return fmt.Sprintf("%s holds storage plugins for: %s", dir, strings.Join(types, ", "))
}
