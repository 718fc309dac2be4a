package server

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// noCoreFiles keeps the memory of this process out of core files, also where the
// kernel pipes them to a program, and out of reach of other processes of the same user.
func noCoreFiles() error {
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return fmt.Errorf("set the core file limit: %w", err)
	}
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("make the process undumpable: %w", err)
	}
	return nil
}
