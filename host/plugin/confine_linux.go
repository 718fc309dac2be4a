package plugin

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"runtime"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// credential returns what the plugin runs as, or nil if that is what this process runs as.
func (c Confinement) credential() (*syscall.Credential, error) {
	if c.User == "" {
		return nil, nil //nolint:nilnil // SysProcAttr means it so
	}
	account, err := user.Lookup(c.User)
	if _, unknown := errors.AsType[user.UnknownUserError](err); unknown {
		account, err = user.LookupId(c.User)
	}
	if err != nil {
		return nil, fmt.Errorf("find the plugin's user %q: %w", c.User, err)
	}
	uid, uidErr := strconv.ParseUint(account.Uid, 10, 32)
	gid, gidErr := strconv.ParseUint(account.Gid, 10, 32)
	if err := errors.Join(uidErr, gidErr); err != nil {
		return nil, fmt.Errorf("find the plugin's user %q: %w", c.User, err)
	}
	self := os.Geteuid()
	if uint64(self) == uid {
		return nil, nil //nolint:nilnil // see above
	}
	if self != 0 {
		return nil, fmt.Errorf("start plugin as user %q: only a server that runs as root can; this one is user %d", c.User, self)
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
}

// start starts cmd, confined. On an error there is no process.
func (c Confinement) start(cmd *exec.Cmd) error {
	if err := c.startUnprivileged(cmd); err != nil {
		return err
	}
	if err := c.limit(cmd.Process.Pid); err != nil {
		// It has not been told anything yet, and nobody has seen it.
		return errors.Join(err, cmd.Process.Kill(), ignoreExit(cmd.Wait()))
	}
	return nil
}

// startUnprivileged starts cmd from a thread that has given up new privileges for good: the child
// inherits that, so there is no moment at which it could gain any. No other goroutine
// ever runs on that thread, for it ends with the goroutine that is locked to it.
func (c Confinement) startUnprivileged(cmd *exec.Cmd) error {
	if c.NewPrivileges {
		return cmd.Start()
	}
	started := make(chan error, 1)
	go func() { // ends as soon as cmd was started; awaited below
		runtime.LockOSThread()
		if unix.Gettid() == os.Getpid() { // the main thread would not end; while it is locked, others are not run on it
			defer runtime.UnlockOSThread()
			started <- c.startUnprivileged(cmd)
			return
		}
		if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
			started <- fmt.Errorf("give up new privileges: %w", err)
			return
		}
		started <- cmd.Start()
	}()
	return <-started
}

// limit sets the resource limits of the process pid, a child that is not reaped.
func (c Confinement) limit(pid int) error {
	for _, one := range []struct {
		key      string
		resource int
		most     uint64
	}{
		{"max_open_files", unix.RLIMIT_NOFILE, c.MaxOpenFiles},
		{"max_memory", unix.RLIMIT_DATA, c.MaxMemory},
	} {
		if one.most == 0 {
			continue
		}
		err := unix.Prlimit(pid, one.resource, &unix.Rlimit{Cur: one.most, Max: one.most}, nil)
		if errors.Is(err, unix.EPERM) && c.User != "" {
			return fmt.Errorf("set %s of a plugin that runs as another user: this server lacks the capability CAP_SYS_RESOURCE: "+
				"give it that, or take out user or %s", one.key, one.key)
		}
		if errors.Is(err, unix.EPERM) {
			return fmt.Errorf("set %s of the plugin to %d: it is more than this server may have itself", one.key, one.most)
		}
		if err != nil && !errors.Is(err, unix.ESRCH) { // then it has ended by itself
			return fmt.Errorf("set %s of the plugin to %d: %w", one.key, one.most, err)
		}
	}
	return nil
}

// ignoreExit drops the error that tells how a process ended.
func ignoreExit(err error) error {
	if _, exited := errors.AsType[*exec.ExitError](err); exited {
		return nil
	}
	return err
}
