package plugin

import (
	"bytes"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// executesDescriptors: /proc/self/fd/N can be executed.
const executesDescriptors = true

// hostDescriptor returns a descriptor of this very process, which a plugin inherits
// to learn for certain that it is dead. A plugin must not ask for its parent
// instead: a wrapper may stand between.
func hostDescriptor() (*os.File, error) {
	fd, err := unix.PidfdOpen(os.Getpid(), 0)
	if err != nil {
		return nil, fmt.Errorf("open a descriptor of this process: %w", err)
	}
	return os.NewFile(uintptr(fd), "pidfd"), nil
}

// cldStopped is the code with which waitid(2) reports that a signal has stopped a child.
const cldStopped = 5

// awaitExit returns when the child pid has ended, and leaves it to be reaped: until
// then nobody else can get its process id or group. It calls stopped each time a signal, for
// example SIGSTOP, has stopped the child.
func awaitExit(pid int, stopped func()) error {
	for {
		var info unix.Siginfo
		err := unix.Waitid(unix.P_PID, pid, &info, unix.WEXITED|unix.WSTOPPED|unix.WNOWAIT, nil)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil || info.Code != cldStopped:
			return err
		}
		// That report is done with; the next one is about something else.
		if err := unix.Waitid(unix.P_PID, pid, nil, unix.WSTOPPED|unix.WNOHANG, nil); err != nil && !errors.Is(err, unix.EINTR) {
			return err
		}
		stopped()
	}
}

// isStopped reports whether the process pid, a child that is not reaped yet, is stopped by
// a signal. The state is the first field behind the program's name in
// /proc/pid/stat, proc_pid_stat(5); the name may hold anything.
func isStopped(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false // it has ended
	}
	state := stat[bytes.LastIndexByte(stat, ')')+1:]
	return bytes.HasPrefix(state, []byte(" T"))
}
