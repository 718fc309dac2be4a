package servers

import (
	"errors"
	"os"
	"testing"
	"time"

	"github.com/holdfast/holdfast/test/process"
)

const (
	startAttempts = 5                // each with ports of its own
	readyTimeout  = 60 * time.Second // a busy two-core machine needs some seconds
	pollInterval  = 20 * time.Millisecond
	logTailBytes  = 16 << 10 // how much of the log a failed test prints
)

// daemon is the process of a server, which may be started more than once. Its methods are
// for one goroutine at a time, and end the test when they fail.
type daemon struct {
	t       testing.TB
	logPath string
	proc    *process.Process
}

// run starts the program and waits for nothing.
func (d *daemon) run(program string, args ...string) error {
	p, err := process.Start(d.logPath, d.logPath, nil, program, args...)
	if err == nil {
		d.proc = p
	}
	return err
}

// PID returns the process id, for signals a test wants to send itself.
func (d *daemon) PID() int { return d.proc.PID() }

// Kill ends the server at once, as a crash would. The data stays for Restart.
func (d *daemon) Kill() {
	if d.proc != nil {
		d.proc.Kill()
	}
}

// Stop ends the server in an orderly way. The data stays for Restart.
func (d *daemon) Stop() { d.proc.Stop() }

// Pause freezes the server (SIGSTOP) and returns when it stands still: connections are
// accepted by the kernel and nothing answers.
func (d *daemon) Pause() {
	d.t.Helper()
	if err := d.proc.Pause(); err != nil {
		d.t.Fatal(err)
	}
}

// Resume lets a paused server go on (SIGCONT).
func (d *daemon) Resume() {
	d.t.Helper()
	if err := d.proc.Resume(); err != nil {
		d.t.Fatal(err)
	}
}

func (d *daemon) cleanup() {
	d.Kill()
	if d.t.Failed() {
		d.t.Logf("end of %s:\n%s", d.logPath, tail(d.logPath))
	}
}

// tail returns the last part of a log, or why it can not be read.
func tail(path string) string {
	log, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	return string(log[max(0, len(log)-logTailBytes):])
}

// startAll has start choose ports and start all members of a store. A port may be lost to
// someone else between choice and use: then kill ends what was started and it is tried again.
func startAll(t testing.TB, what string, start func() error, kill func()) {
	t.Helper()
	var err error
	for range startAttempts {
		if err = start(); !errors.Is(err, process.ErrEnded) {
			break
		}
		kill()
	}
	if err != nil {
		t.Fatalf("start %s: %v", what, err)
	}
}

// awaitLeader returns the first of members that leads.
func awaitLeader[S any](t testing.TB, what string, members []S, leads func(S) bool) S {
	t.Helper()
	deadline := time.Now().Add(readyTimeout)
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		for _, m := range members {
			if leads(m) {
				return m
			}
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: no leader within %v", what, readyTimeout)
		}
		<-tick.C
	}
}
