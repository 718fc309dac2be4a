package pluginnew

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/holdfast/holdfast/sdk/template"
)

// fileSet holds the content of files by their slash-separated paths.
type fileSet map[string]string

// render returns the skeleton as the plugin name.
func render(name string) (fileSet, error) {
	skeleton, err := template.Files()
	if err != nil {
		return nil, fmt.Errorf("read the skeleton: %w", err)
	}
	files := make(fileSet)
	err = fs.WalkDir(skeleton, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := fs.ReadFile(skeleton, path)
		files[path] = strings.ReplaceAll(string(text), template.Name, name)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read the skeleton: %w", err)
	}
	return files, nil
}

// checkDirectory reports why nothing is written to dir: only to one that does not exist or is
// empty.
func checkDirectory(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look at the directory to write to: %w", err)
	}
	if len(entries) > 0 {
		return fmt.Errorf("directory %s is not empty, it has %s: name a new one", dir, entries[0].Name())
	}
	return nil
}

// write writes the files below dir. The server refuses plugins in a directory that others may
// write, whatever the author's umask.
func (f fileSet) write(dir string) error {
	for _, path := range slices.Sorted(maps.Keys(f)) {
		target := filepath.Join(dir, filepath.FromSlash(path))
		if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
			return fmt.Errorf("make a directory of the plugin: %w", err)
		}
		if err := os.WriteFile(target, []byte(f[path]), 0o644); err != nil {
			return fmt.Errorf("write a file of the plugin: %w", err)
		}
	}
	return nil
}
