package e2e

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/test/harness"
	"github.com/holdfast/holdfast/test/process"
)

// holdfast returns the path of the program that users run.
func holdfast(t testing.TB) string { return filepath.Join(harness.Binaries(t), "holdfast") }

// quickExit keeps programs that are built with the race detector from sleeping for a
// second before they exit. What it finds, it still reports, and the exit code is 66.
const quickExit = "GORACE=atexit_sleep_ms=0"

// daemon is a program that runs beside the test, with all it prints.
type daemon struct {
	*process.Process

	t   testing.TB
	dir string
}

// startDaemon starts a program with env and quickExit as its whole environment. It stops
// with the test, which fails if the race detector has found something, and what it has
// printed is shown if the test has failed.
func startDaemon(t testing.TB, env []string, path string, args ...string) *daemon {
	t.Helper()
	d := &daemon{t: t, dir: t.TempDir()}
	var err error
	d.Process, err = process.Start(filepath.Join(d.dir, "stdout"), filepath.Join(d.dir, "stderr"),
		append([]string{quickExit}, env...), path, args...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		d.Stop()
		harness.CheckRaces(t, filepath.Base(path), d.stderr())
		if t.Failed() {
			t.Logf("%s %q: standard output:\n%s\nstandard error:\n%s", path, args, d.stdout(), d.stderr())
		}
	})
	return d
}

func (d *daemon) stdout() string { return d.read("stdout") }
func (d *daemon) stderr() string { return d.read("stderr") }

func (d *daemon) read(name string) string {
	text, err := os.ReadFile(filepath.Join(d.dir, name))
	if err != nil {
		d.t.Fatal(err)
	}
	return string(text)
}

// awaitOutput waits until standard output matches pattern and returns the match and its
// submatches. The program must not end before.
func (d *daemon) awaitOutput(pattern string) []string {
	d.t.Helper()
	expr := regexp.MustCompile("(?m)" + pattern)
	var match []string
	harness.Eventually(d.t, fmt.Sprintf("standard output matches %q", pattern), func() error {
		ended := d.Ended() // before the look at what it has printed
		if match = expr.FindStringSubmatch(d.stdout()); match != nil {
			return nil
		}
		if ended {
			d.t.Fatalf("ended with exit code %d and never printed %q", d.ExitCode(), pattern)
		}
		return errors.New("not yet")
	})
	return match
}

// awaitExit waits until the program ends by itself and checks its exit code.
func (d *daemon) awaitExit(want int) {
	d.t.Helper()
	timeout := time.NewTimer(harness.Patience)
	defer timeout.Stop()
	select {
	case <-d.Done():
	case <-timeout.C:
		d.t.Fatalf("still runs after %v, want exit code %d", harness.Patience, want)
	}
	if got := d.ExitCode(); got != want {
		d.t.Errorf("exit code %d, want %d", got, want)
	}
}

// witness knows whether a process that is not a child of the test still runs. It can not
// mistake another process of the same number for it.
type witness struct {
	what  string
	pid   int
	pidfd int
}

// watchProcess returns the witness of a running process.
func watchProcess(t testing.TB, what string, pid int) witness {
	t.Helper()
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		t.Fatalf("watch %s, process %d: %v", what, pid, err)
	}
	w := witness{what: what, pid: pid, pidfd: fd}
	t.Cleanup(func() {
		if !w.gone(t) {
			t.Errorf("%s, process %d, was left behind", what, pid)
			w.signal(t, unix.SIGKILL)
		}
		_ = unix.Close(fd)
	})
	return w
}

func (w witness) signal(t testing.TB, sig unix.Signal) {
	t.Helper()
	if err := unix.PidfdSendSignal(w.pidfd, sig, nil, 0); err != nil {
		t.Errorf("send %v to %s: %v", sig, w.what, err)
	}
}

// gone reports whether the process has ended.
func (w witness) gone(t testing.TB) bool {
	t.Helper()
	fds := []unix.PollFd{{Fd: int32(w.pidfd), Events: unix.POLLIN}}
	n, err := unix.Poll(fds, 0)
	for errors.Is(err, unix.EINTR) {
		n, err = unix.Poll(fds, 0)
	}
	if err != nil {
		t.Fatalf("look at %s: %v", w.what, err)
	}
	return n > 0
}

// awaitGone waits until all of them have ended.
func awaitGone(t testing.TB, all ...witness) {
	t.Helper()
	for _, w := range all {
		harness.Eventually(t, w.what+" has ended", func() error {
			if !w.gone(t) {
				return fmt.Errorf("process %d still runs", w.pid)
			}
			return nil
		})
	}
}
