package plugin

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"
	goplugin "github.com/hashicorp/go-plugin"
	"github.com/hashicorp/go-plugin/runner"
	"google.golang.org/grpc"

	"github.com/holdfast/holdfast/sdk/wire"
)

// explainWait is how long the end of a process is awaited to explain an error on the
// connection to it.
const explainWait = 250 * time.Millisecond

// process is a plugin that we started. It is a peer.
type process struct {
	program program
	file    fs.FileInfo // of the program when it was started; nil: not known
	runner  *processRunner
	client  *goplugin.Client
	sockets *socketDir
	conn    *grpc.ClientConn
}

// launch finds the program of spec, starts it and connects to it. On an error
// nothing of it is left.
func launch(ctx context.Context, spec Spec, log hclog.Logger) (*process, error) {
	prog, err := find(spec)
	if err != nil {
		return nil, fmt.Errorf("find plugin: %w", err)
	}
	defer prog.close()
	credential, err := spec.Confinement.credential()
	if err != nil {
		return nil, err
	}
	sockets, err := newSocketDir()
	if err != nil {
		return nil, fmt.Errorf("start plugin: %w", err)
	}
	p := &process{program: prog, runner: newProcessRunner(spec, prog, credential, log), sockets: sockets}
	if p.file, err = os.Stat(prog.path); err != nil {
		log.Debug("the program's checksum will not be known", "path", prog.path, "error", err)
	}
	p.client = goplugin.NewClient(p.clientConfig(ctx, spec, log))
	if err := p.start(ctx); err != nil {
		p.stop(0)
		return nil, fmt.Errorf("start plugin %s: %w", prog.path, err)
	}
	log.Info("plugin started", "path", prog.path, "pid", p.runner.ID())
	return p, nil
}

// reportTrust says in the log how far the operator's choice of program is enforced.
func (p *process) reportTrust(log hclog.Logger) {
	switch {
	case p.program.pinnedBy == "":
		log.Info("plugin is not pinned: the server runs whatever program is there when it starts one; "+
			"pin it with sha256 in its plugin stanza or with holdfast plugin verify -write", "path", p.program.path)
	case p.program.image == nil:
		log.Warn("plugin is pinned and executed by name, as scripts are: its sha256 covers its own file, "+
			"as it was just before the start, and neither the interpreter nor what it loads",
			"path", p.program.path, "pinned_by", p.program.pinnedBy)
	default:
		log.Info("plugin is pinned: what runs has the sha256 that was checked", "path", p.program.path, "pinned_by", p.program.pinnedBy)
	}
}

func (p *process) clientConfig(ctx context.Context, spec Spec, log hclog.Logger) *goplugin.ClientConfig {
	timeout := spec.startTimeout()
	if deadline, ok := ctx.Deadline(); ok {
		timeout = min(timeout, max(time.Until(deadline), time.Millisecond)) // zero would be a minute
	}
	printed := func(line []byte) { log.Info("plugin printed", "line", string(line)) }
	return &goplugin.ClientConfig{
		HandshakeConfig: goplugin.HandshakeConfig{
			ProtocolVersion:  wire.ProtocolVersion,
			MagicCookieKey:   wire.CookieKey,
			MagicCookieValue: wire.CookieValue,
		},
		VersionedPlugins: map[int]goplugin.PluginSet{wire.ProtocolVersion: {}}, // we use the connection itself
		AllowedProtocols: []goplugin.Protocol{goplugin.ProtocolGRPC},
		RunnerFunc: func(_ hclog.Logger, cmd *exec.Cmd, socketDir string) (runner.Runner, error) {
			p.runner.cmd.Env = append(p.runner.cmd.Env, cmd.Env...)
			return p.runner, p.sockets.admit(p.runner.cmd.SysProcAttr.Credential, socketDir)
		},
		SkipHostEnv:      true,
		StartTimeout:     timeout,
		SyncStdout:       &lineWriter{line: printed}, // what it prints after its handshake
		SyncStderr:       &lineWriter{line: printed},
		Logger:           hclog.NewNullLogger(), // we log each fact ourselves
		GRPCDialOptions:  wire.DialOptions(),
		UnixSocketConfig: &goplugin.UnixSocketConfig{TempDir: p.sockets.path},
	}
}

// start returns once the process is connected. go-plugin takes no context: when ctx
// ends the process is killed, and with it ends whatever go-plugin waits for.
func (p *process) start(ctx context.Context) error {
	defer context.AfterFunc(ctx, p.runner.kill)()
	if _, err := p.client.Start(); err != nil {
		return p.launchError(ctx, err)
	}
	protocol, err := p.client.Client()
	if err != nil {
		return p.explain(err)
	}
	client, ok := protocol.(*goplugin.GRPCClient)
	if !ok {
		return fmt.Errorf("plugin client is a %T", protocol)
	}
	p.conn = client.Conn
	return nil
}

// quoting adds the plugin's last words to err.
func (p *process) quoting(err error) error {
	if quote := p.runner.stderr.quote(); quote != "" {
		return fmt.Errorf("%w; its last words: %s", err, quote)
	}
	return err
}

func (p *process) connection() *grpc.ClientConn { return p.conn }

func (p *process) gone() <-chan struct{} { return p.runner.done }

func (p *process) stopped() <-chan struct{} { return p.runner.stopped }

func (p *process) where() (path string, pid int) { return p.program.path, p.runner.cmd.Process.Pid }

// address is the fourth field of the handshake, which checkHandshake has looked at.
func (p *process) address() string {
	p.runner.mu.Lock()
	defer p.runner.mu.Unlock()
	return "unix://" + strings.Split(p.runner.handshake, "|")[3]
}

func (p *process) lastWill() bool { return p.runner.lastWill }

// explain adds how the process ended to err, if it did or does so now.
func (p *process) explain(err error) error {
	timer := time.NewTimer(explainWait)
	defer timer.Stop()
	select {
	case <-p.runner.done:
		return p.quoting(fmt.Errorf("%w; its process ended (%s)", err, p.runner.cmd.ProcessState))
	case <-timer.C:
		return err
	}
}

// stop asks the process to end, kills it when grace is over, and waits until nothing
// is left of it: process, descendants in its group, sockets.
func (p *process) stop(grace time.Duration) {
	if grace > 0 {
		defer time.AfterFunc(grace, p.runner.kill).Stop()
	} else {
		p.runner.kill()
	}
	p.client.Kill()
	if err := p.sockets.remove(); err != nil {
		p.runner.log.Warn("plugin socket directory not removed", "dir", p.sockets.path, "error", err)
	}
}
