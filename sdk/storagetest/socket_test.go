package storagetest_test

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/hashicorp/go-hclog"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/holdfast/holdfast/sdk"
	"github.com/holdfast/holdfast/sdk/storage"
	"github.com/holdfast/holdfast/sdk/storagetest"
	"github.com/holdfast/holdfast/sdk/wire"
)

// A host's end that is wrong about a connection that was lost is caught, a right one is not.
func TestSuiteCatchesSocketMutants(t *testing.T) {
	for _, m := range []struct {
		name   string
		client func(*wire.Backend) storage.HABackend
		want   storagetest.Status
	}{
		{"as it should be", func(b *wire.Backend) storage.HABackend { return b }, storagetest.Passed},
		{"takes a lost connection for a refusal", func(b *wire.Backend) storage.HABackend { return hopeful{b} }, storagetest.Failed},
		{"commits again after a lost connection", func(b *wire.Backend) storage.HABackend { return stuttering{b} }, storagetest.Failed},
	} {
		t.Run(m.name, func(t *testing.T) {
			h := harnessOf(honest)
			h.Program = servedProgram{model: newModel(), t: t, client: m.client}
			h.Only = []string{"P-24"}
			for _, result := range check(t, h).Results {
				if result.Status != m.want {
					t.Errorf("%s: %s, want %s: %q", result.Case.ID, result.Status, m.want, result.Failures)
				}
				t.Logf("%s: %q %q", result.Case.ID, result.Failures, result.Notes)
			}
		})
	}
}

// hopeful says of every Commit without an answer that it was not applied.
type hopeful struct{ storage.HABackend }

func (b hopeful) Commit(ctx context.Context, g storage.Guard, ops []storage.Op) (storage.Version, error) {
	version, err := b.HABackend.Commit(ctx, g, ops)
	return version, storage.NotApplied(err)
}

// stuttering makes every Commit again whose connection was lost, and believes the second answer.
type stuttering struct{ storage.HABackend }

func (b stuttering) Commit(ctx context.Context, g storage.Guard, ops []storage.Op) (storage.Version, error) {
	for {
		version, err := b.HABackend.Commit(ctx, g, ops)
		if err == nil || storage.OutcomeOf(err) == storage.Unapplied || ctx.Err() != nil {
			return version, err
		}
		waitAMoment(ctx)
	}
}

// servedProgram stands for a program: it serves a model in this process, on a unix socket.
type servedProgram struct {
	storagetest.Program // nil: nothing else of it is asked for

	model  *model
	t      *testing.T
	client func(*wire.Backend) storage.HABackend
}

func (p servedProgram) KeepsData() bool { return true }

func (p servedProgram) Start(ctx context.Context) (storagetest.Instance, error) {
	dir, err := os.MkdirTemp("", "st") // short, for the socket's sake
	if err != nil {
		return nil, err
	}
	path := filepath.Join(dir, "p")
	listener, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	life, stop := context.WithCancel(context.WithoutCancel(ctx))
	served := make(chan error, 1)
	go func() { served <- sdk.Serve(life, listener, p.plugin(), hclog.NewNullLogger()) }() // ends with the test
	p.t.Cleanup(func() {
		stop()
		if err := <-served; err != nil {
			p.t.Error(err)
		}
		_ = os.RemoveAll(dir)
	})
	return servedInstance{HABackend: modelClient{model: p.model}, program: p, path: path}, nil
}

func (p servedProgram) plugin() sdk.Plugin[struct{}, modelClient] {
	return sdk.Plugin[struct{}, modelClient]{
		Name: "model", Version: "1",
		Open: func(context.Context, struct{}, sdk.Env) (modelClient, storage.Capabilities, error) {
			return modelClient{model: p.model}, storage.Capabilities{Limits: modelLimits}, nil
		},
	}
}

// servedInstance is an Instance whose own way to the model is never cut.
type servedInstance struct {
	storage.HABackend

	program servedProgram
	path    string
}

func (i servedInstance) Socket() string { return i.path }
func (i servedInstance) PID() int       { return os.Getpid() }
func (i servedInstance) Output() string { return "" }
func (i servedInstance) Capabilities() storage.Capabilities {
	return storage.Capabilities{Limits: modelLimits}
}

func (i servedInstance) Attach(ctx context.Context) (storage.Backend, error) {
	return i.AttachAt(ctx, i.path)
}

func (i servedInstance) AttachAt(ctx context.Context, path string) (storage.Backend, error) {
	conn, err := grpc.NewClient("unix://"+path, append(wire.DialOptions(), grpc.WithTransportCredentials(insecure.NewCredentials()))...)
	if err != nil {
		return nil, err
	}
	i.program.t.Cleanup(func() { _ = conn.Close() }) // fails only if it is closed
	b, err := wire.NewClient(conn, "model").Configure(ctx, []byte("{}"))
	if err != nil {
		return nil, err
	}
	return i.program.client(b), nil
}
