//go:build unix && !linux

package plugin

import (
	"errors"
	"os"
)

// executesDescriptors: there is no /proc/self/fd.
const executesDescriptors = false

// hostDescriptor fails: only Linux has descriptors of processes.
func hostDescriptor() (*os.File, error) {
	return nil, errors.ErrUnsupported
}

// awaitExit fails at once, and the caller reaps the child directly.
func awaitExit(int, func()) error {
	return errors.ErrUnsupported
}

// isStopped is false: pings notice a stopped process, later.
func isStopped(int) bool {
	return false
}
