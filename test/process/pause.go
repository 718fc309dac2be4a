package process

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// Pause freezes the process with SIGSTOP and returns when it stands still: one of its
// threads that runs on another processor may still answer a request after the signal was
// sent. Its sockets stay open, and the kernel accepts connections to them.
func Pause(pid int) error {
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		return fmt.Errorf("pause process %d: %w", pid, err)
	}
	deadline := time.Now().Add(stopTimeout)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		stopped, err := allStopped(pid)
		if err != nil {
			return fmt.Errorf("pause process %d: %w", pid, err)
		}
		if stopped {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("pause process %d: its threads still run after %v", pid, stopTimeout)
		}
		<-tick.C
	}
}

// Resume lets a paused process go on.
func Resume(pid int) error {
	if err := syscall.Kill(pid, syscall.SIGCONT); err != nil {
		return fmt.Errorf("resume process %d: %w", pid, err)
	}
	return nil
}

// allStopped reports whether every thread of the process is stopped.
func allStopped(pid int) (bool, error) {
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	if err != nil {
		return false, err
	}
	if len(threads) == 0 {
		return false, errors.New("it has ended")
	}
	for _, thread := range threads {
		stat, err := os.ReadFile(thread)
		if err != nil { // this thread has ended meanwhile: look again
			return false, nil //nolint:nilerr // not a failure
		}
		if len(statFields(stat)) == 0 || statFields(stat)[0] != "T" {
			return false, nil
		}
	}
	return true, nil
}

// statFields returns the fields of a line of /proc/PID/stat that follow the name, state
// and parent first. The name is in parentheses and may hold anything, those too.
func statFields(line []byte) []string {
	var fields []string
	for field := range bytes.FieldsSeq(line[bytes.LastIndexByte(line, ')')+1:]) {
		fields = append(fields, string(field))
	}
	return fields
}
