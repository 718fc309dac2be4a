package plugin

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/hashicorp/go-hclog"
	"golang.org/x/sys/unix"
)

const (
	socketDirPrefix = "holdfast-host-"

	// maxSocketPath is the longest path of a unix socket in bytes, on the most
	// restrictive system.
	maxSocketPath = 103
	// socketDirBytes is what comes after the base: our directory, go-plugin's inside
	// it and the socket, each with a random number of ten digits at most.
	socketDirBytes = len("/holdfast-host-0123456789/plugin-dir0123456789/plugin0123456789")
)

// socketDir is a directory that only this user may enter, for one plugin's socket. It
// is locked while the host lives, so that others can tell a dead host's directory; a lock
// works across containers that share the file system, a process id does not.
type socketDir struct {
	path string
	lock *os.File // of the directory itself
}

// socketBases returns where socket directories may be made, best first.
func socketBases() []string {
	var bases []string
	for _, base := range []string{os.Getenv("XDG_RUNTIME_DIR"), os.TempDir(), "/tmp"} {
		if filepath.IsAbs(base) && len(base)+socketDirBytes <= maxSocketPath && !slices.Contains(bases, base) {
			bases = append(bases, base)
		}
	}
	return bases
}

// newSocketDir makes the directory in the first base that allows it.
func newSocketDir() (*socketDir, error) {
	var problems error
	for _, base := range socketBases() {
		dir, err := makeSocketDir(base)
		if err == nil {
			return dir, nil
		}
		problems = errors.Join(problems, err)
	}
	return nil, fmt.Errorf("make directory for the plugin's socket: %w", problems)
}

func makeSocketDir(base string) (*socketDir, error) {
	for {
		path, err := os.MkdirTemp(base, socketDirPrefix) // 0700
		if err != nil {
			return nil, err
		}
		lock, err := lockDir(path)
		if err == nil {
			return &socketDir{path: path, lock: lock}, nil
		}
		// Another host's sweep may have come between; then there is nothing to remove.
		if rerr := os.Remove(path); !errors.Is(rerr, fs.ErrNotExist) {
			return nil, errors.Join(err, rerr)
		}
	}
}

// lockDir locks the directory at path, or fails if somebody else has it locked or
// has removed it.
func lockDir(path string) (*os.File, error) {
	dir, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	if err := lockOpened(dir, path); err != nil {
		_ = dir.Close() // opened for reading
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return dir, nil
}

func lockOpened(dir *os.File, path string) error {
	if err := unix.Flock(int(dir.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return err
	}
	locked, err := dir.Stat()
	if err != nil {
		return err
	}
	now, err := os.Lstat(path)
	if err != nil {
		return err
	}
	if !os.SameFile(locked, now) {
		return errors.New("it was replaced")
	}
	return nil
}

// admit gives inner, a directory in d, to another user. The way to it is open to everyone then;
// what is in it, to that user alone and to root. A nil credential means no other user.
func (d *socketDir) admit(credential *syscall.Credential, inner string) error {
	if credential == nil {
		return nil
	}
	if err := os.Chown(inner, int(credential.Uid), int(credential.Gid)); err != nil {
		return fmt.Errorf("give socket directory to the plugin's user: %w", err)
	}
	if err := os.Chmod(d.path, 0o711); err != nil {
		return fmt.Errorf("let the plugin's user to its socket directory: %w", err)
	}
	return nil
}

// remove deletes the directory with all in it. It may be called again.
func (d *socketDir) remove() error {
	err := os.RemoveAll(d.path)
	_ = d.lock.Close() // releases the lock
	return err
}

// sweepSocketDirs removes the directories that dead hosts of this user left behind.
func sweepSocketDirs(log hclog.Logger) {
	for _, base := range socketBases() {
		entries, err := os.ReadDir(base)
		if err != nil {
			log.Debug("plugin socket directories not swept", "dir", base, "error", err)
			continue
		}
		for _, entry := range entries {
			if !entry.IsDir() || !strings.HasPrefix(entry.Name(), socketDirPrefix) {
				continue
			}
			path := filepath.Join(base, entry.Name())
			if removed, err := sweepDir(path, entry); err != nil {
				log.Debug("plugin socket directory not swept", "dir", path, "error", err)
			} else if removed {
				log.Info("removed socket directory of a dead server", "dir", path)
			}
		}
	}
}

func sweepDir(path string, entry fs.DirEntry) (removed bool, err error) {
	info, err := entry.Info()
	if err != nil {
		return false, err
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok || int(stat.Uid) != os.Geteuid() {
		return false, nil
	}
	lock, err := lockDir(path)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return false, nil // its host lives
	}
	if err != nil {
		return false, err
	}
	dead := socketDir{path: path, lock: lock}
	return true, dead.remove()
}
