package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/holdfast/holdfast/sdk/storage"
)

// lockPoll is how often a writer asks for a lock that another process holds. The
// blocking flock can not be given up when a context ends.
const lockPoll = time.Millisecond

// file is one JSON document that the backends of several processes share. A change
// writes the next document beside it, makes that durable and renames it over the old one, so
// a reader sees the one or the other whole, without a lock, and so does whoever comes after a
// crash. Writers take turns by a lock that ends with its process.
//
// It needs a local file system: network file systems keep neither promise.
type file struct {
	path string
	dir  *os.File // of path, to make renames durable
	lock *os.File // path.lock, which is never replaced

	// writers lets one goroutine at a time wait for the lock and have it: the lock tells
	// processes apart, not goroutines. Readers do not wait for it.
	writers gate
	// users guards what follows.
	users   gate
	current document // as last read or written
	// pin is the file of current. While it is open no other file has its inode
	// number, so the number tells whether path was replaced.
	pin *os.File
}

// openFile prepares to read and write path, which need not exist.
func openFile(path string) (*file, error) {
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return nil, fmt.Errorf("open the directory of the data file: %w", err)
	}
	lock, err := os.OpenFile(path+".lock", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open the lock of the data file: %w", err), dir.Close())
	}
	return &file{path: path, dir: dir, lock: lock, writers: make(gate, 1), users: make(gate, 1)}, nil
}

// close is called once nobody uses f any more.
func (f *file) close() error {
	err := errors.Join(f.dir.Close(), f.lock.Close())
	if f.pin != nil {
		err = errors.Join(err, f.pin.Close())
	}
	return err
}

// gate is a mutex whose waiters give up when their context ends.
type gate chan struct{}

func (g gate) enter(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case g <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (g gate) leave() { <-g }

// view returns the document of now.
func (f *file) view(ctx context.Context) (document, error) {
	if err := f.users.enter(ctx); err != nil {
		return document{}, err
	}
	defer f.users.leave()
	return f.read()
}

// update replaces the document by what change makes of it, in one atomic step that is
// durable when update returns. An error of change leaves the document as it is and is
// returned.
func (f *file) update(ctx context.Context, change func(next *document) error) error {
	if err := f.writers.enter(ctx); err != nil {
		return storage.NotApplied(err)
	}
	defer f.writers.leave()
	if err := f.takeLock(ctx); err != nil {
		return storage.NotApplied(err)
	}
	defer f.freeLock()
	if err := f.users.enter(ctx); err != nil {
		return storage.NotApplied(err)
	}
	defer f.users.leave()
	now, err := f.read()
	if err != nil {
		return storage.NotApplied(err)
	}
	next := document{Revision: now.Revision + 1, Items: maps.Clone(now.Items)}
	if err := change(&next); err != nil {
		return err
	}
	return f.replace(next)
}

// read returns the document of now. Its caller is the only user.
func (f *file) read() (document, error) {
	info, err := os.Stat(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		return document{Items: map[string]record{}}, nil
	}
	if err != nil {
		return document{}, fmt.Errorf("look at the data file: %w", err)
	}
	if f.pin != nil {
		pinned, err := f.pin.Stat()
		if err != nil {
			return document{}, fmt.Errorf("look at the data file: %w", err)
		}
		if os.SameFile(info, pinned) {
			return f.current, nil
		}
	}
	opened, err := os.Open(f.path)
	if err != nil {
		return document{}, fmt.Errorf("open the data file: %w", err)
	}
	next := document{Items: map[string]record{}}
	text, err := io.ReadAll(opened)
	if err == nil {
		err = json.Unmarshal(text, &next)
	}
	// The process that renamed it may be killed before it has made that durable, and
	// what was read once must not be lost by a power failure.
	if err = errors.Join(err, f.dir.Sync()); err != nil {
		return document{}, errors.Join(fmt.Errorf("read the data file %s: %w", f.path, err), opened.Close())
	}
	return next, f.keep(next, opened)
}

// keep makes next the current document, and opened, which holds it, its pin.
func (f *file) keep(next document, opened *os.File) error {
	old := f.pin
	f.current, f.pin = next, opened
	if old == nil {
		return nil
	}
	return old.Close()
}

// replace makes next the content of the file. Its caller is the only user, and has the lock.
func (f *file) replace(next document) error {
	text, err := json.Marshal(next)
	if err != nil {
		return storage.NotApplied(fmt.Errorf("encode the data: %w", err))
	}
	beside := f.path + ".new"
	written, err := os.OpenFile(beside, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return storage.NotApplied(fmt.Errorf("write the data: %w", err))
	}
	_, err = written.Write(text)
	if err == nil {
		err = written.Sync()
	}
	if err == nil {
		err = os.Rename(beside, f.path)
	}
	if err != nil { // the old document is still in place
		return storage.NotApplied(errors.Join(fmt.Errorf("write the data: %w", err), written.Close()))
	}
	if err := f.dir.Sync(); err != nil { // it is in place now, and may be gone after a crash: unknown
		return errors.Join(fmt.Errorf("make the data durable: %w", err), written.Close())
	}
	return f.keep(next, written)
}

// takeLock waits until no other process changes the file.
func (f *file) takeLock(ctx context.Context) error {
	tick := time.NewTicker(lockPoll)
	defer tick.Stop()
	for {
		err := syscall.Flock(int(f.lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			return fmt.Errorf("lock the data file: %w", err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

func (f *file) freeLock() { _ = syscall.Flock(int(f.lock.Fd()), syscall.LOCK_UN) } // closing frees it too
