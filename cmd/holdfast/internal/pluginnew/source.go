package pluginnew

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/holdfast/holdfast/sdk/template"
)

// sdkModule is the module of Holdfast, which has the SDK.
const sdkModule = "github.com/holdfast/holdfast"

// findSource returns the absolute directory of Holdfast's source: given, or if that is empty, the
// one that is above the first of starts that is below one.
func findSource(given string, starts []string) (string, error) {
	if given == "" {
		for _, start := range starts {
			if dir, ok := sourceAbove(start); ok {
				return dir, nil
			}
		}
		return "", fmt.Errorf("the source that this program was built from is not on this machine, or has moved (looked above %s): "+
			"get the source of Holdfast and name its directory with -sdk DIR", strings.Join(starts, ", "))
	}
	dir, err := filepath.Abs(given)
	if err == nil {
		err = checkSource(dir)
	}
	if err != nil {
		return "", fmt.Errorf("-sdk: %w", err)
	}
	return dir, nil
}

// origins are directories below the source that this program was built from. "make build"
// leaves no path in the program, but puts the program below the source; a plain "go build" may put it
// anywhere, but leaves the paths.
func origins() []string {
	var dirs []string
	if program, err := os.Executable(); err == nil {
		if target, err := filepath.EvalSymlinks(program); err == nil {
			program = target
		}
		dirs = append(dirs, filepath.Dir(program))
	}
	if _, file, _, ok := runtime.Caller(0); ok && filepath.IsAbs(file) {
		dirs = append(dirs, filepath.Dir(file))
	}
	return dirs
}

// sourceAbove returns the nearest directory of Holdfast's source: dir, or one above it.
func sourceAbove(dir string) (string, bool) {
	for {
		if checkSource(dir) == nil {
			return dir, true
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", false
		}
		dir = parent
	}
}

// checkSource reports why dir is not the top of Holdfast's source.
func checkSource(dir string) error {
	text, err := os.ReadFile(filepath.Join(dir, "go.mod"))
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s is not the source of Holdfast: it has no go.mod", dir)
	}
	if err != nil {
		return fmt.Errorf("look for the source of Holdfast: %w", err)
	}
	if first, _, _ := strings.Cut(string(text), "\n"); strings.TrimSpace(first) != "module "+sdkModule {
		return fmt.Errorf("%s is not the source of Holdfast: its go.mod does not begin with module %s", dir, sdkModule)
	}
	skeleton := strings.TrimPrefix(template.Package, sdkModule)
	if _, err := os.Stat(filepath.Join(dir, filepath.FromSlash(skeleton))); err != nil {
		return fmt.Errorf("the source of Holdfast in %s is too old for this command: %w", dir, err)
	}
	return nil
}
