// Package orphan tells a plugin that the host that started it is dead.
package orphan

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// Check returns nil if the process behind pidfd can be watched. From then on the descriptor
// is not passed on to programs that this process starts.
func Check(pidfd int) error {
	if _, err := unix.FcntlInt(uintptr(pidfd), unix.F_SETFD, unix.FD_CLOEXEC); err != nil {
		return fmt.Errorf("host pidfd %d: %w", pidfd, err)
	}
	// Signal 0 is sent to nobody. Any other descriptor, which a wrapper may have put
	// in this place, would look like a dead host as soon as it can be read.
	if err := unix.PidfdSendSignal(pidfd, 0, nil, 0); errors.Is(err, unix.EBADF) {
		return fmt.Errorf("host pidfd %d: not a pidfd", pidfd)
	}
	return nil
}

// Wait blocks until the process behind pidfd is dead, and returns nil, or until ctx
// ends, and returns its error. It begins with Check. A pidfd names a process for good,
// whatever becomes of its number and whoever its parent is, and says that it is dead when
// all of its threads are.
func Wait(ctx context.Context, pidfd int) error {
	if err := Check(pidfd); err != nil {
		return err
	}
	wake, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
	if err != nil {
		return fmt.Errorf("open eventfd: %w", err)
	}
	defer func() { _ = unix.Close(wake) }()
	woken := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(woken)
		_, _ = unix.Write(wake, []byte{1, 0, 0, 0, 0, 0, 0, 0}) // can not fail: the counter is 0
	})
	defer func() {
		if !stop() {
			<-woken // wake is in use until then
		}
	}()

	fds := []unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}, {Fd: int32(wake), Events: unix.POLLIN}}
	for {
		_, err := unix.Poll(fds, -1)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return fmt.Errorf("poll host pidfd: %w", err)
		case fds[0].Revents&unix.POLLIN != 0:
			return nil
		case fds[0].Revents != 0:
			return fmt.Errorf("host pidfd %d: not a pidfd", pidfd)
		case fds[1].Revents != 0:
			return ctx.Err()
		}
	}
}
