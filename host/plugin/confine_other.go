//go:build unix && !linux

package plugin

import (
	"errors"
	"fmt"
	"os/exec"
	"syscall"
)

// credential refuses everything that start could not do.
func (c Confinement) credential() (*syscall.Credential, error) {
	if c.User != "" || c.MaxOpenFiles != 0 || c.MaxMemory != 0 {
		return nil, fmt.Errorf("confine plugin: user, max_open_files and max_memory work on Linux only: take them out: %w",
			errors.ErrUnsupported)
	}
	return nil, nil //nolint:nilnil // SysProcAttr means it so
}

// start starts cmd.
func (c Confinement) start(cmd *exec.Cmd) error { return cmd.Start() }
