package plugin

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"unicode"
)

// LockName is the file of a plugin directory that pins its programs. sha256sum -c reads it.
const LockName = "plugins.lock"

const (
	// maxLockBytes bounds the lock file: thousands of programs.
	maxLockBytes = 1 << 20
	// lockMode: whoever runs a server must be able to read it.
	lockMode = 0o644
)

// Lock is what a lock file says. It does not change.
type Lock struct {
	path    string
	entries map[string]lockEntry // by file name, relative to the directory
}

type lockEntry struct {
	sum  []byte
	line int // from 1
}

// ReadLock reads the lock file of dir. Without one it returns a Lock that pins nothing. A file
// that others may write, or with a line that can not be understood, is an error that names
// the line: half a lock would pass what was to be refused.
func ReadLock(dir string) (*Lock, error) {
	lock := &Lock{path: filepath.Join(dir, LockName), entries: map[string]lockEntry{}}
	file, err := os.OpenFile(lock.path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return lock, nil
	case errors.Is(err, syscall.ELOOP):
		return nil, fmt.Errorf("lock file %s is a link: put the file itself there", lock.path)
	case err != nil:
		return nil, fmt.Errorf("read lock file: %w", err)
	}
	defer func() { _ = file.Close() }() // opened for reading
	info, err := file.Stat()
	if err != nil {
		return nil, fmt.Errorf("look at lock file: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("lock file %s is not a regular file (%s)", lock.path, info.Mode().Type())
	}
	if err := checkOwner("lock file", lock.path, info); err != nil {
		return nil, err
	}
	text, err := io.ReadAll(io.LimitReader(file, maxLockBytes+1))
	if err != nil {
		return nil, fmt.Errorf("read lock file: %w", err)
	}
	if len(text) > maxLockBytes {
		return nil, fmt.Errorf("lock file %s is larger than %d bytes, which none is", lock.path, maxLockBytes)
	}
	if err := lock.parse(string(text)); err != nil {
		return nil, err
	}
	return lock, nil
}

func (l *Lock) parse(text string) error {
	line := 0
	for one := range strings.Lines(text) {
		line++
		name, sum, err := parseLockLine(strings.TrimSuffix(one, "\n"))
		if first, twice := l.entries[name]; err == nil && twice {
			err = fmt.Errorf("%s is listed in line %d already", name, first.line)
		}
		if err != nil {
			return fmt.Errorf("lock file %s, line %d: %w", l.path, line, err)
		}
		l.entries[name] = lockEntry{sum: sum, line: line}
	}
	return nil
}

// parseLockLine reads what sha256sum prints: the sum in hex, a blank, a blank or a star (text
// or binary, which is the same), and the name.
func parseLockLine(line string) (name string, sum []byte, err error) {
	const hexDigits = 2 * sha256.Size
	if len(line) < hexDigits+3 || line[hexDigits] != ' ' || !strings.ContainsRune(" *", rune(line[hexDigits+1])) {
		return "", nil, errors.New("want the sha256 in hex, two blanks and a file name, as sha256sum prints them")
	}
	if sum, err = hex.DecodeString(line[:hexDigits]); err != nil {
		return "", nil, fmt.Errorf("want a sha256 of %d hex digits", hexDigits)
	}
	name = line[hexDigits+2:]
	return name, sum, checkLockName(name)
}

func checkLockName(name string) error {
	if !filepath.IsLocal(name) || filepath.Clean(name) != name || name == "." || strings.ContainsFunc(name, unicode.IsControl) {
		return fmt.Errorf("%q is not the name of a file in this directory", name)
	}
	return nil
}

// Names are the files that the lock lists, sorted.
func (l *Lock) Names() []string { return slices.Sorted(maps.Keys(l.entries)) }

// SHA256 is what the lock says of the file name, in hex; empty if nothing.
func (l *Lock) SHA256(name string) string { return hex.EncodeToString(l.entries[name].sum) }

// WriteLock makes the lock file of dir list sums, SHA-256 in hex by file name, and nothing
// else. A server that starts meanwhile sees either the old file or the new one.
func WriteLock(dir string, sums map[string]string) error {
	if err := checkDirectory(dir); err != nil {
		return err
	}
	var text bytes.Buffer
	for _, name := range slices.Sorted(maps.Keys(sums)) {
		line := sums[name] + "  " + name
		if _, _, err := parseLockLine(line); err != nil {
			return fmt.Errorf("write lock file: %q can not be a line of it: %w", line, err)
		}
		text.WriteString(line + "\n")
	}
	if err := replaceFile(filepath.Join(dir, LockName), text.Bytes()); err != nil {
		return fmt.Errorf("write lock file: %w", err)
	}
	return nil
}

// replaceFile puts a new file in the place of path, durably.
func replaceFile(path string, text []byte) error {
	file, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return err
	}
	_, err = file.Write(text)
	err = errors.Join(err, file.Chmod(lockMode), file.Sync(), file.Close())
	if err == nil {
		err = os.Rename(file.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(file.Name()))
	}
	return nil
}
