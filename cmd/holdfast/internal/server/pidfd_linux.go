package server

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// ownDescriptor returns a descriptor of this very process. A child that inherits it
// learns for certain when this process is dead.
func ownDescriptor() (*os.File, error) {
	fd, err := unix.PidfdOpen(os.Getpid(), 0)
	if err != nil {
		return nil, fmt.Errorf("open a descriptor of this process: %w", err)
	}
	return os.NewFile(uintptr(fd), "pidfd"), nil
}
