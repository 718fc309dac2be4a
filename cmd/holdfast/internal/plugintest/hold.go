package plugintest

import (
	"bufio"
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

// held is what a host that holds a plugin says of it.
type held struct {
	PID int `json:"pid"`
}

// hold is the host of the cases in which a host dies: it reads a plugin.Spec as JSON, runs the
// plugin and says so, and waits until its stdin ends, which it does with its parent.
func hold(ctx context.Context, env Env) error {
	stdin := json.NewDecoder(env.Stdin)
	var spec plugin.Spec
	if err := stdin.Decode(&spec); err != nil {
		return fmt.Errorf("read the specification: %w", err)
	}
	s, err := plugin.Open(ctx, spec, hclog.NewNullLogger())
	if err != nil {
		return err
	}
	if err := json.NewEncoder(env.Stdout).Encode(held{PID: s.Info().PID}); err != nil {
		return errors.Join(err, s.Close())
	}
	_, _ = io.Copy(io.Discard, env.Stdin)
	return s.Close()
}

// StartUnderHost implements storagetest.Program. The host is this very program.
func (p *program) StartUnderHost(ctx context.Context) (pid int, kill func() error, err error) {
	self, err := os.Executable()
	if err != nil {
		return 0, nil, fmt.Errorf("find this program: %w", err)
	}
	host := exec.Command(self, "plugin", "test", "-hold")
	host.Stderr = os.Stderr
	stdin, err := host.StdinPipe()
	if err != nil {
		return 0, nil, err
	}
	stdout, err := host.StdoutPipe()
	if err != nil {
		return 0, nil, err
	}
	if err := host.Start(); err != nil {
		return 0, nil, err
	}
	kill = func() error {
		err := host.Process.Kill()
		_ = host.Wait() // it was killed
		return err
	}
	defer context.AfterFunc(ctx, func() { _ = host.Process.Kill() })() // only while it starts
	if err := json.NewEncoder(stdin).Encode(p.spec); err != nil {
		return 0, nil, errors.Join(fmt.Errorf("tell the host what to run: %w", err), kill())
	}
	var report held
	if err := json.NewDecoder(bufio.NewReader(stdout)).Decode(&report); err != nil {
		return 0, nil, errors.Join(fmt.Errorf("wait for the host: %w", err), kill())
	}
	return report.PID, kill, nil
}
