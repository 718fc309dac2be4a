package plugintest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/holdfast/holdfast/host/plugin"
	"github.com/holdfast/holdfast/sdk/storage"
	"github.com/holdfast/holdfast/sdk/storagetest"
)

var _ storagetest.Instance = (*instance)(nil)

// instance is a process of the program, as a server has one.
type instance struct {
	*plugin.Storage

	spec plugin.Spec
	log  *output
}

func (p *program) start(ctx context.Context) (*instance, error) { return start(ctx, p.spec) }

func start(ctx context.Context, spec plugin.Spec) (*instance, error) {
	log := &output{}
	logger := hclog.New(&hclog.LoggerOptions{Level: hclog.Debug, Output: log})
	s, err := plugin.Open(ctx, spec, logger)
	if err != nil {
		return nil, err
	}
	return &instance{Storage: s, spec: spec, log: log}, nil
}

// PID implements storagetest.Instance.
func (i *instance) PID() int { return i.Info().PID }

// Socket implements storagetest.Instance.
func (i *instance) Socket() string { return strings.TrimPrefix(i.Info().Address, "unix://") }

// Output implements storagetest.Instance.
func (i *instance) Output() string { return i.log.String() }

// Attach implements storagetest.Instance.
func (i *instance) Attach(ctx context.Context) (storage.Backend, error) {
	return i.attach(ctx, i.spec.Options)
}

// AttachAt implements storagetest.Instance.
func (i *instance) AttachAt(ctx context.Context, path string) (storage.Backend, error) {
	return i.attachAt(ctx, "unix://"+path, i.spec.Options)
}

// attach opens one more backend in the process, as a server that attaches does.
func (i *instance) attach(ctx context.Context, options map[string]any) (*plugin.Storage, error) {
	address, err := i.address(ctx)
	if err != nil {
		return nil, err
	}
	return i.attachAt(ctx, address, options)
}

func (i *instance) attachAt(ctx context.Context, address string, options map[string]any) (*plugin.Storage, error) {
	spec := plugin.Spec{Type: i.spec.Type, Attach: address, Options: options, Patience: i.spec.Patience}
	return plugin.Open(ctx, spec, hclog.NewNullLogger())
}

// address waits until the process is there.
func (i *instance) address(ctx context.Context) (string, error) {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		info := i.Info()
		if info.Address != "" {
			return info.Address, nil
		}
		select {
		case <-ctx.Done():
			return "", fmt.Errorf("attach to the plugin: it is down: %w", errors.Join(info.LastError, ctx.Err()))
		case <-tick.C:
		}
	}
}

// usage counts what the processes of the clients have open.
func (p *program) usage() (map[string]int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	total := make(map[string]int)
	for _, one := range p.processes {
		for what, dir := range map[string]string{"open files": "fd", "threads": "task"} {
			entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/%s", one.PID(), dir))
			if err != nil {
				return nil, fmt.Errorf("look at the plugin's process: %w", err)
			}
			total[what] += len(entries)
		}
	}
	return total, nil
}

// memory is how much of the processes of the clients is in memory, in bytes.
func (p *program) memory() (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	total := 0
	for _, one := range p.processes {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", one.PID()))
		if err != nil {
			return 0, fmt.Errorf("look at the plugin's process: %w", err)
		}
		var size, resident int // pages, proc_pid_statm(5)
		if _, err := fmt.Sscan(string(text), &size, &resident); err != nil {
			return 0, fmt.Errorf("look at the plugin's process: %w", err)
		}
		total += resident * os.Getpagesize()
	}
	return total, nil
}

// output keeps the last part of a log. Safe for concurrent use.
type output struct {
	mu   sync.Mutex // guards text
	text bytes.Buffer
}

// maxOutput is how much of a log is kept, in bytes.
const maxOutput = 4 << 20

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.text.Len()+len(p) > maxOutput {
		o.text.Next(o.text.Len() / 2)
	}
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}
