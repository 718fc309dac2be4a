package config

import "fmt"

// A configuration file, HCL or JSON, is read into the same tree: an object of
// entries, in the order of the file. A value is a string, bool, int64, float64,
// []any of values, *object, or nil for JSON's null.

type object struct {
	at      position
	entries []entry
}

// entry is one assignment, or one block with its labels.
type entry struct {
	at     position
	key    string
	labels []string
	value  any
}

// position is a place in a file.
type position struct {
	file string
	line int // from 1; 0 if not known
}

func (p position) String() string {
	if p.line == 0 {
		return p.file
	}
	return fmt.Sprintf("%s:%d", p.file, p.line)
}

// KeyError is something wrong with one key of a file. It never holds the value of a
// storage option.
type KeyError struct {
	File string // empty if it was not a file's
	Line int    // from 1; 0 if not known
	Key  string // with the stanza it is in, as in "listener.tls_disable"
	Err  error
}

func (e *KeyError) Error() string {
	if e.File == "" {
		return fmt.Sprintf("%s: %v", e.Key, e.Err)
	}
	return fmt.Sprintf("%s: %s: %v", position{e.File, e.Line}, e.Key, e.Err)
}

// Unwrap returns what is wrong.
func (e *KeyError) Unwrap() error { return e.Err }

// Warning says that a key of a file has no effect, or not the one it has in Vault.
type Warning struct {
	File   string
	Line   int // from 1; 0 if not known
	Key    string
	Reason string
}

func (w Warning) String() string {
	return fmt.Sprintf("%s: %s: %s", position{w.File, w.Line}, w.Key, w.Reason)
}
