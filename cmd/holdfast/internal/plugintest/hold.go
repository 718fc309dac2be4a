package plugintest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"

	"github.com/hashicorp/go-hclog"

	"github.com/holdfast/holdfast/host/plugin"
)

// holding is what a host that holds a plugin is told first.
type holding struct {
	Spec   plugin.Spec
	Tenure *tenureSpec // nil: it does nothing but hold the plugin
}

// held is what a host that holds a plugin says of it.
type held struct {
	PID      int
	LastWill bool
}

// hold is the host of the cases in which a host dies: it reads what to do as JSON, runs the
// plugin and says so, and waits until its stdin ends, which it does with its parent.
func hold(ctx context.Context, env Env) (err error) {
	stdin, stdout := json.NewDecoder(env.Stdin), json.NewEncoder(env.Stdout)
	var h holding
	if err := stdin.Decode(&h); err != nil {
		return fmt.Errorf("read the specification: %w", err)
	}
	s, err := plugin.Open(ctx, h.Spec, hclog.NewNullLogger())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	if err := stdout.Encode(held{PID: s.Info().PID, LastWill: s.Info().LastWill}); err != nil {
		return err
	}
	if h.Tenure != nil {
		return h.Tenure.hold(ctx, s, stdin, stdout)
	}
	_, _ = io.Copy(io.Discard, env.Stdin)
	return nil
}

// hostProcess is a host that holds a plugin, in a process of its own.
type hostProcess struct {
	held

	cmd    *exec.Cmd
	stdin  io.WriteCloser
	tell   *json.Encoder // to stdin
	stdout *json.Decoder
}

// startHost starts a host. It is this very program.
func startHost(ctx context.Context, h holding) (*hostProcess, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	p := &hostProcess{cmd: exec.Command(self, "plugin", "test", "-hold")}
	p.cmd.Stderr = os.Stderr
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.tell, p.stdout = json.NewEncoder(p.stdin), json.NewDecoder(stdout)
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	defer context.AfterFunc(ctx, func() { _ = p.cmd.Process.Kill() })() // only while it starts
	if err := p.tell.Encode(h); err != nil {
		return nil, errors.Join(fmt.Errorf("tell the host what to run: %w", err), p.Kill())
	}
	if err := p.stdout.Decode(&p.held); err != nil {
		return nil, errors.Join(fmt.Errorf("wait for the host: %w", err), p.Kill())
	}
	return p, nil
}

// Kill ends the host at once.
func (p *hostProcess) Kill() error {
	err := p.cmd.Process.Kill()
	_ = p.cmd.Wait() // it was killed
	return err
}

// StartUnderHost implements storagetest.Program.
func (p *program) StartUnderHost(ctx context.Context) (pid int, kill func() error, err error) {
	host, err := startHost(ctx, holding{Spec: p.spec})
	if err != nil {
		return 0, nil, err
	}
	return host.PID, host.Kill, nil
}
