// Package process runs the programs that tests need, servers of ours and of others, and
// finds ports for them. A program never outlives the test process.
package process

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"time"
)

// stopTimeout is how long a server may take to stop by itself before it is killed: several
// times what it gives itself, 10 s, for on a busy machine it is late.
const stopTimeout = 60 * time.Second

// Process is one run of a program. Its methods may be called after it has ended.
type Process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when the program has ended and was waited for
	err  error         // how it ended; read it after done only
}

// Start runs the program with what it prints appended to the files stdout and stderr, which
// may be the same, and env as its whole environment. The kernel kills it when this test
// process dies, even by a panic or a timeout.
func Start(stdout, stderr string, env []string, path string, args ...string) (*Process, error) {
	var files []*os.File
	closeFiles := func() {
		for _, f := range files {
			_ = f.Close()
		}
	}
	for _, name := range []string{stdout, stderr} {
		f, err := os.OpenFile(name, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			closeFiles()
			return nil, err
		}
		files = append(files, f)
	}
	p := &Process{cmd: exec.Command(path, args...), done: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = files[0], files[1]
	p.cmd.Env = append([]string{}, env...) // nothing of the developer's environment decides how it runs
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}

	started := make(chan error)
	go func() {
		// The parent-death signal is tied to the thread that started the program, so
		// this goroutine keeps its thread until the program has ended.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer closeFiles()
		err := p.cmd.Start()
		started <- err
		if err != nil {
			return
		}
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", path, err)
	}
	return p, nil
}

// Ended reports whether the program has ended.
func (p *Process) Ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// Kill ends the program at once, also when it is stopped by SIGSTOP.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill() // fails only if it has ended
	<-p.done
}

// Stop asks the program to end and kills it if it does not in time.
func (p *Process) Stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	timeout := time.NewTimer(stopTimeout)
	defer timeout.Stop()
	select {
	case <-p.done:
	case <-timeout.C:
		p.Kill()
	}
}

// Pause freezes the program; see the function Pause. Resume lets it go on.
func (p *Process) Pause() error { return Pause(p.PID()) }

// Resume lets a paused program go on.
func (p *Process) Resume() error { return Resume(p.PID()) }

// Signal sends sig to the program.
func (p *Process) Signal(sig syscall.Signal) error { return p.cmd.Process.Signal(sig) }

// PID returns the process id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Done is closed when the program has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Err waits until the program has ended and returns how: nil for exit code 0.
func (p *Process) Err() error {
	<-p.done
	return p.err
}

// ExitCode waits until the program has ended and returns its exit code, -1 if it was
// killed by a signal.
func (p *Process) ExitCode() int {
	<-p.done
	return p.cmd.ProcessState.ExitCode()
}

// Children returns the process ids of the program's children.
func (p *Process) Children() ([]int, error) { return ChildrenOf(p.PID()) }

// ChildrenOf returns the process ids of the children of any process.
func ChildrenOf(parent int) ([]int, error) {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, err
	}
	var children []int
	for _, stat := range stats {
		text, err := os.ReadFile(stat)
		if err != nil {
			continue // it has ended meanwhile
		}
		fields := statFields(text)
		if len(fields) < 2 || fields[0] == "Z" || fields[1] != strconv.Itoa(parent) {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(stat)))
		if err != nil {
			return nil, err
		}
		children = append(children, pid)
	}
	return children, nil
}
