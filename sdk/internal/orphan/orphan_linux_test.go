package orphan

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// startProcess starts a process that lives until it is killed and returns its pidfd.
func startProcess(t *testing.T) (pidfd int, kill func()) {
	t.Helper()
	cmd := exec.Command("sleep", "600")
	if err := cmd.Start(); err != nil {
		t.Fatalf("start: %v", err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	pidfd, err := unix.PidfdOpen(cmd.Process.Pid, 0)
	if err != nil {
		t.Fatalf("open pidfd: %v", err)
	}
	t.Cleanup(func() { _ = unix.Close(pidfd) })
	return pidfd, func() { _ = cmd.Process.Kill() } // not waited for: a zombie is dead, too
}

func TestWaitReturnsWhenTheProcessIsDead(t *testing.T) {
	pidfd, kill := startProcess(t)
	done := make(chan error, 1)
	go func() { done <- Wait(t.Context(), pidfd) }()
	select {
	case err := <-done:
		t.Fatalf("returned %v while the process lives", err)
	case <-time.After(50 * time.Millisecond):
	}
	kill()
	if err := <-done; err != nil {
		t.Errorf("got %v, want nil", err)
	}
}

func TestWaitEndsWithItsContext(t *testing.T) {
	pidfd, _ := startProcess(t)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := Wait(ctx, pidfd); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want context.DeadlineExceeded", err)
	}
}

func TestWaitNeedsAnOpenDescriptor(t *testing.T) {
	f, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatalf("create: %v", err)
	}
	fd := int(f.Fd())
	if err := f.Close(); err != nil {
		t.Fatalf("close: %v", err)
	}
	if err := Wait(t.Context(), fd); !errors.Is(err, unix.EBADF) {
		t.Errorf("got %v, want EBADF", err)
	}
}
