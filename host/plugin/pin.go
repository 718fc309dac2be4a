package plugin

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// What a program can be pinned by.
const (
	PinnedByConfig = "config" // Spec.SHA256
	PinnedByLock   = "lock"   // the file LockName in its directory
)

// pin is the SHA-256 that a program must have.
type pin struct {
	sum   []byte
	by    string // PinnedByConfig or PinnedByLock
	place string // for people: where it is written
	mend  string // and how it is changed
}

// pinOf returns what holds for the program c of spec, or nil if it is not pinned. The
// configuration and the lock file may both pin it, but not to different things: one of them
// is then not what the operator believes.
func pinOf(spec Spec, c candidate) (*pin, error) {
	lock, err := ReadLock(c.dir)
	if err != nil {
		return nil, err
	}
	locked := lock.pin(c)
	if spec.SHA256 == "" {
		return locked, nil
	}
	want, err := hex.DecodeString(spec.SHA256)
	if err != nil || len(want) != sha256.Size {
		return nil, fmt.Errorf("pin of plugin %s is not a sha256: want %d hex digits", c.path, 2*sha256.Size)
	}
	if locked != nil && !bytes.Equal(locked.sum, want) {
		return nil, fmt.Errorf("plugin %s is pinned to %x by the configuration and to %x by %s: correct the one that is wrong",
			c.path, want, locked.sum, locked.place)
	}
	return &pin{sum: want, by: PinnedByConfig, place: "the configuration", mend: "change its sha256 there"}, nil
}

// pin returns what the lock says of c, or nil.
func (l *Lock) pin(c candidate) *pin {
	dir, err := filepath.Abs(c.dir)
	if err != nil {
		return nil // locate has made the same path absolute
	}
	name, err := filepath.Rel(dir, c.path)
	if err != nil {
		return nil // both are absolute
	}
	entry, ok := l.entries[name]
	if !ok {
		return nil
	}
	return &pin{
		sum: entry.sum, by: PinnedByLock,
		place: fmt.Sprintf("%s, line %d", l.path, entry.line),
		mend:  "holdfast plugin verify -write -plugin-dir " + c.dir,
	}
}

// openPinned compares the file of c with the pin. It returns the open file if that is what
// must be executed: a native program then runs the very bytes that were hashed. A
// script is executed by path, for its interpreter opens it by name anyway.
func openPinned(c candidate, want *pin) (*os.File, error) {
	file, err := os.Open(c.path)
	if err != nil {
		return nil, fmt.Errorf("read plugin to check its sha256: %w", err)
	}
	keep, err := checkPinned(file, c, want)
	if err != nil {
		err = fmt.Errorf("check sha256 of plugin %s: %w", c.path, err)
	}
	if !keep || err != nil {
		_ = file.Close() // opened for reading
		return nil, err
	}
	return file, nil
}

// checkPinned reports whether file is to be executed by descriptor.
func checkPinned(file *os.File, c candidate, want *pin) (byDescriptor bool, err error) {
	now, err := file.Stat()
	if err != nil {
		return false, err
	}
	if !os.SameFile(now, c.info) {
		return false, errors.New("the file was replaced during the check")
	}
	got, native, err := digest(file)
	if err != nil {
		return false, err
	}
	return executesDescriptors && native, want.check(got)
}

// check says what to do about a program whose SHA-256 is got and not the one pinned.
func (p *pin) check(got []byte) error {
	if bytes.Equal(got, p.sum) {
		return nil
	}
	return fmt.Errorf("it is %x, pinned is %x by %s: install the pinned program, or, if this one is right, %s",
		got, p.sum, p.place, p.mend)
}

const elfMagic = "\x7fELF"

// digest returns the SHA-256 of file and whether it is a native program of Linux.
func digest(file *os.File) (sum []byte, native bool, err error) {
	hash := sha256.New()
	if _, err := io.Copy(hash, file); err != nil {
		return nil, false, err
	}
	magic := make([]byte, len(elfMagic))
	if _, err := file.ReadAt(magic, 0); err != nil && !errors.Is(err, io.EOF) {
		return nil, false, err
	}
	return hash.Sum(nil), string(magic) == elfMagic, nil
}
