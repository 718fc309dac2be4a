package plugintest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/holdfast/holdfast/host/plugin"
	"github.com/holdfast/holdfast/sdk/storage"
	"github.com/holdfast/holdfast/sdk/storagetest"
)

var _ storagetest.TenureProgram = (*program)(nil)

// tenureSpec makes a host the holder of a record.
type tenureSpec struct {
	Key  string
	Will []byte
}

// step is one Commit that a holder is told to make, and its answer what became of it.
type (
	step   struct{ Value, Mark string }
	answer struct{ Error string }
)

// hold makes one Commit for each step on stdin, until that ends.
func (s tenureSpec) hold(ctx context.Context, b *plugin.Storage, stdin *json.Decoder, stdout *json.Encoder) error {
	b.SetLastWill(s.Key, s.Will)
	guard := storage.Guard{Key: s.Key}
	for {
		var next step
		if err := stdin.Decode(&next); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("read the next step: %w", err)
		}
		guard.Value = []byte(next.Value)
		version, err := b.Commit(ctx, guard, []storage.Op{storage.Put(next.Mark, nil)})
		var a answer
		if err != nil {
			a.Error = err.Error()
		} else {
			guard.Version, guard.Prev = version, guard.Value
		}
		if err := stdout.Encode(a); err != nil {
			return err
		}
	}
}

// StartTenure implements storagetest.TenureProgram.
func (p *program) StartTenure(ctx context.Context, key string, will []byte) (storagetest.Tenure, error) {
	host, err := startHost(ctx, holding{Spec: p.spec, Tenure: &tenureSpec{Key: key, Will: will}})
	if err != nil {
		return nil, err
	}
	return tenure{host}, nil
}

// tenure implements storagetest.Tenure.
type tenure struct{ *hostProcess }

func (t tenure) LastWill() bool { return t.held.LastWill }
func (t tenure) PID() int       { return t.cmd.Process.Pid }
func (t tenure) Plugin() int    { return t.held.PID }

func (t tenure) Send(value, mark string) error { return t.tell.Encode(step{Value: value, Mark: mark}) }

func (t tenure) Await(ctx context.Context) error {
	defer context.AfterFunc(ctx, func() { _ = t.cmd.Process.Kill() })()
	var a answer
	if err := t.stdout.Decode(&a); err != nil {
		return fmt.Errorf("wait for the host: %w", errors.Join(err, ctx.Err()))
	}
	if a.Error != "" {
		return errors.New(a.Error)
	}
	return nil
}

func (t tenure) Stop(ctx context.Context) error {
	defer context.AfterFunc(ctx, func() { _ = t.cmd.Process.Kill() })()
	return errors.Join(t.stdin.Close(), t.cmd.Wait())
}
