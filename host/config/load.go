package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// maxFileSize bounds a configuration file, in bytes.
const maxFileSize = 1 << 20

// Load reads files and directories in the order given; of a directory, its *.hcl and
// *.json files in the order of their names. They are merged: the last one to set a value
// wins, listeners add up, and there is one storage stanza in all of them. The Config is
// valid. On an error, which joins all that was found, there is none.
func Load(paths []string) (*Config, []Warning, error) {
	l := newLoader()
	if len(paths) == 0 {
		return nil, nil, errors.New("no configuration file given")
	}
	for _, path := range paths {
		files, err := expand(path)
		if err != nil {
			l.errs = append(l.errs, err)
		}
		for _, name := range files {
			data, err := readFile(name)
			if err != nil {
				l.errs = append(l.errs, err)
				continue
			}
			l.add(name, data)
		}
	}
	return l.finish()
}

// expand returns the files that path stands for.
func expand(path string) ([]string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("find the configuration: %w", err)
	}
	if !info.IsDir() {
		return []string{path}, nil
	}
	entries, err := os.ReadDir(path) // sorted by name
	if err != nil {
		return nil, fmt.Errorf("list the configuration directory: %w", err)
	}
	var files []string
	for _, e := range entries {
		name := e.Name()
		ext := filepath.Ext(name)
		if e.IsDir() || strings.HasPrefix(name, ".") || ext != ".hcl" && ext != ".json" {
			continue // hidden files are those that editors leave behind
		}
		files = append(files, filepath.Join(path, name))
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("configuration directory %s holds no .hcl or .json file", path)
	}
	return files, nil
}

func readFile(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("read the configuration: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFileSize+1))
	if err != nil {
		return nil, fmt.Errorf("read the configuration: %w", err)
	}
	if len(data) > maxFileSize {
		return nil, fmt.Errorf("%s: larger than %d bytes, which no configuration is", name, maxFileSize)
	}
	return data, nil
}

// loader builds one Config from several files.
type loader struct {
	config   *Config
	errs     []error
	warnings []Warning

	warned                   map[string]bool // keys
	storage                  *position       // of the storage stanza
	legacyAPI, legacyCluster string          // from the storage stanza
}

func newLoader() *loader {
	return &loader{config: Default(), warned: map[string]bool{}}
}

// add merges the contents of one file.
func (l *loader) add(name string, data []byte) {
	parse := parseHCL
	if filepath.Ext(name) == ".json" || bytes.HasPrefix(bytes.TrimSpace(data), []byte("{")) {
		parse = parseJSON
	}
	root, err := parse(name, data)
	if err != nil {
		l.errs = append(l.errs, err)
		return
	}
	apply(l, "", root, serverRules(), l.config)
}

// finish returns the Config of all files, if there is nothing wrong with it.
func (l *loader) finish() (*Config, []Warning, error) {
	c := l.config
	if c.APIAddr == "" {
		c.APIAddr = l.legacyAPI
	}
	if c.ClusterAddr == "" {
		c.ClusterAddr = l.legacyCluster
	}
	for i := range c.Listeners {
		if limits := &c.Listeners[i].Limits; limits.MaxRequestDuration == 0 {
			limits.MaxRequestDuration = c.MaxRequestDuration
		}
	}
	if err := c.Validate(); err != nil {
		l.errs = append(l.errs, err)
	}
	if len(l.errs) > 0 {
		return nil, l.warnings, errors.Join(l.errs...)
	}
	return c, l.warnings, nil
}

func (l *loader) fail(at position, key string, err error) {
	l.errs = append(l.errs, &KeyError{File: at.file, Line: at.line, Key: key, Err: err})
}

// warn adds one warning for each key, however often it comes.
func (l *loader) warn(at position, key, reason string) {
	if name := strings.ToLower(key); !l.warned[name] {
		l.warned[name] = true
		l.warnings = append(l.warnings, Warning{File: at.file, Line: at.line, Key: key, Reason: reason})
	}
}
