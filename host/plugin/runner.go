package plugin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin/runner"

	"github.com/holdfast/holdfast/sdk/wire"
)

var _ runner.Runner = (*processRunner)(nil)

const (
	// killWait is how long a SIGKILLed process may take to end: only one stuck inside
	// the kernel takes longer, and it is given up.
	killWait = 5 * time.Second
	// drainWait is how long output is read after the process has ended. It is over at
	// once unless a descendant that left the process group holds the pipes open.
	drainWait = 250 * time.Millisecond
)

// processRunner is one process of a plugin, in a process group of its own. go-plugin
// drives it; compared with its own runner this one passes on no environment and no
// stdin, tolerates noise on stdout, kills descendants and never waits without end.
type processRunner struct {
	cmd   *exec.Cmd
	image *os.File // executed by descriptor instead of cmd.Path; may be nil
	bound Confinement
	log   hclog.Logger

	stdout       *io.PipeReader // the handshake line, then nothing until the end
	stdoutWriter *io.PipeWriter
	stderr       tail
	lastWill     bool          // the process holds a descriptor of this one
	stopped      chan struct{} // gets one when a signal has stopped the process
	done         chan struct{}
	abandoned    chan struct{} // it did not die of SIGKILL

	mu        sync.Mutex // guards the following
	started   bool
	reaped    bool
	killed    bool // by us, while it ran or before it started
	gaveUp    bool // abandoned is closed
	startErr  error
	exitErr   error
	handshake string
	printed   string // the first line on stdout that is no handshake
}

// newProcessRunner prepares to run prog as credential says, or as the user of this process if
// that is nil.
func newProcessRunner(spec Spec, prog program, credential *syscall.Credential, log hclog.Logger) *processRunner {
	r := &processRunner{
		cmd: &exec.Cmd{
			Path:        prog.path,
			Args:        append([]string{prog.path}, spec.Args...),
			Env:         append([]string{}, spec.Env...), // not nil: nil would mean ours
			SysProcAttr: &syscall.SysProcAttr{Setpgid: true, Credential: credential},
		},
		image:     prog.image,
		bound:     spec.Confinement,
		log:       log,
		stopped:   make(chan struct{}, 1),
		done:      make(chan struct{}),
		abandoned: make(chan struct{}),
	}
	r.stdout, r.stdoutWriter = io.Pipe()
	return r
}

// Start implements runner.Runner. go-plugin calls it once.
func (r *processRunner) Start(context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.killed {
		return errors.New("stopped before it started")
	}
	r.startErr = r.start()
	r.started = r.startErr == nil
	return r.startErr
}

func (r *processRunner) start() error {
	r.cmd.Env = append(r.cmd.Env, wire.LogLevelKey+"="+r.log.GetLevel().String())
	if host, err := hostDescriptor(); err != nil {
		r.log.Debug("plugin can not learn when this server is dead; no last will", "error", err)
	} else {
		defer func() { _ = host.Close() }() // the process has its own copy
		r.cmd.Env = append(r.cmd.Env, wire.HostPIDFDKey+"="+strconv.Itoa(r.inherit(host)))
		r.lastWill = true
	}
	if r.image != nil {
		r.cmd.Path = "/proc/self/fd/" + strconv.Itoa(r.inherit(r.image))
	}
	stdout, stdoutEnd, err := os.Pipe()
	if err != nil {
		return err
	}
	defer func() { _ = stdoutEnd.Close() }() // the process has its own copy
	stderr, stderrEnd, err := os.Pipe()
	if err != nil {
		return errors.Join(err, stdout.Close())
	}
	defer func() { _ = stderrEnd.Close() }()
	r.cmd.Stdout, r.cmd.Stderr = stdoutEnd, stderrEnd
	if err := r.bound.start(r.cmd); err != nil {
		return errors.Join(err, stdout.Close(), stderr.Close())
	}
	go r.reap(stdout, stderr) // ends with the process; Wait and Kill wait for it
	return nil
}

// inherit passes file on and returns the number it gets in the process.
func (r *processRunner) inherit(file *os.File) int {
	const afterStderr = 3
	r.cmd.ExtraFiles = append(r.cmd.ExtraFiles, file)
	return afterStderr + len(r.cmd.ExtraFiles) - 1
}

// reap reads the output until the process ends, kills what is left of its group,
// and closes done when nothing of it remains.
func (r *processRunner) reap(stdout, stderr *os.File) {
	defer close(r.done)
	var output sync.WaitGroup
	output.Go(func() { r.readStdout(stdout) })
	output.Go(func() { r.readStderr(stderr) })

	r.collect()
	deadline := time.Now().Add(drainWait)
	_ = stdout.SetReadDeadline(deadline)
	_ = stderr.SetReadDeadline(deadline)
	output.Wait()
	_ = r.stdoutWriter.Close()
}

// collect waits for the process to end, kills what is left of its group and reaps it.
func (r *processRunner) collect() {
	waitErr := awaitExit(r.cmd.Process.Pid, func() {
		select {
		case r.stopped <- struct{}{}:
		default: // one is enough
		}
	})
	if waitErr != nil { // not on this system: the group is killed by Kill only
		waitErr = r.cmd.Wait()
		r.mu.Lock()
		defer r.mu.Unlock()
		r.reaped, r.exitErr = true, waitErr
		return
	}
	// Until it is reaped the dead leader keeps its number from being used again.
	r.mu.Lock()
	defer r.mu.Unlock()
	r.signal()
	r.exitErr = r.cmd.Wait()
	r.reaped = true
}

// readStdout passes the handshake line on and logs all others. Any library may print to
// stdout while it starts.
func (r *processRunner) readStdout(stdout *os.File) {
	lines := &lineWriter{line: func(line []byte) {
		text := string(line)
		if handshakeLine.MatchString(text) && r.setHandshake(text) {
			// The reader is go-plugin, or gone: then Kill has closed the pipe.
			_, _ = io.WriteString(r.stdoutWriter, text+"\n")
			return
		}
		r.setPrinted(text)
		r.log.Info("plugin printed to stdout", "line", text)
	}}
	r.copyOutput(lines, stdout)
	lines.close()
}

func (r *processRunner) setHandshake(line string) (first bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.handshake != "" {
		return false
	}
	r.handshake = line
	return true
}

// setPrinted remembers the first line that is in the place of the handshake.
func (r *processRunner) setPrinted(line string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.handshake == "" && r.printed == "" {
		r.printed = line[:min(len(line), maxQuote)]
	}
}

func (r *processRunner) readStderr(stderr *os.File) {
	logged := &stderrLog{log: r.log}
	lines := &lineWriter{line: logged.line}
	r.copyOutput(io.MultiWriter(&r.stderr, lines), stderr)
	lines.close()
}

func (r *processRunner) copyOutput(dst io.Writer, src *os.File) {
	if _, err := io.Copy(dst, src); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		r.log.Warn("plugin output lost", "error", err)
	}
	_ = src.Close() // opened for reading
}

// kill ends the process group without waiting for it. A process that was not started
// yet never will be.
func (r *processRunner) kill() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.reaped {
		return
	}
	r.killed = true
	if r.started {
		r.signal()
	}
}

// signal sends SIGKILL to the process and all of its group. r.mu is held, and the
// process not reaped: afterwards the number could be somebody else's.
func (r *processRunner) signal() {
	// ESRCH: all of them are gone.
	if err := syscall.Kill(-r.cmd.Process.Pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
		r.log.Warn("plugin process group not killed", "pid", r.cmd.Process.Pid, "error", err)
	}
}

// Kill implements runner.Runner. It is bounded: a process that SIGKILL does not end
// is given up.
func (r *processRunner) Kill(ctx context.Context) error {
	r.kill()
	_ = r.stdout.Close() // nobody reads the handshake any more
	r.mu.Lock()
	started := r.started
	r.mu.Unlock()
	if !started {
		return nil
	}
	timer := time.NewTimer(killWait)
	defer timer.Stop()
	select {
	case <-r.done:
		return nil
	case <-ctx.Done():
	case <-timer.C:
	}
	r.abandon()
	return fmt.Errorf("process %s does not end after SIGKILL", r.ID())
}

// abandon releases who waits for the process.
func (r *processRunner) abandon() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.gaveUp {
		r.gaveUp = true
		close(r.abandoned)
		r.log.Error("plugin process does not end after SIGKILL; given up", "pid", r.cmd.Process.Pid)
	}
}

// Wait implements runner.Runner.
func (r *processRunner) Wait(ctx context.Context) error {
	select {
	case <-r.done:
	case <-r.abandoned:
		return errors.New("given up")
	case <-ctx.Done():
		return ctx.Err()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.exitErr
}

// Stdout implements runner.Runner: it reads the handshake line only.
func (r *processRunner) Stdout() io.ReadCloser { return r.stdout }

// Stderr implements runner.Runner. It is empty: reap reads the real one.
func (r *processRunner) Stderr() io.ReadCloser { return io.NopCloser(strings.NewReader("")) }

// Name implements runner.Runner.
func (r *processRunner) Name() string { return r.cmd.Args[0] }

// ID implements runner.Runner: the process id, empty before the start.
func (r *processRunner) ID() string {
	if r.cmd.Process == nil {
		return ""
	}
	return strconv.Itoa(r.cmd.Process.Pid)
}

// Diagnose implements runner.Runner. It has nothing to add: see launchError.
func (r *processRunner) Diagnose(context.Context) string { return "" }

// PluginToHost implements runner.Runner. Any user of the machine may connect to a TCP
// port, so that is refused.
func (r *processRunner) PluginToHost(network, address string) (string, string, error) {
	if network != "unix" {
		return "", "", fmt.Errorf("plugin listens on %s: want a unix socket in $PLUGIN_UNIX_SOCKET_DIR", network)
	}
	return network, address, nil
}

// HostToPlugin implements runner.Runner.
func (r *processRunner) HostToPlugin(network, address string) (string, string, error) {
	return network, address, nil
}
