package plugin

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"os"

	"github.com/hashicorp/go-hclog"

	"github.com/holdfast/holdfast/sdk/storage"
	"github.com/holdfast/holdfast/sdk/wire"
)

// Trust is what can be told about a program without starting it.
type Trust struct {
	Path     string // as locate names it; empty if there is none
	SHA256   string // of the file as it is now, in hex; empty if it was not read
	PinnedBy string // PinnedByConfig, PinnedByLock, or empty
	// ByName says that the program is executed by its name, as scripts are: what runs may be
	// other than what was hashed, if the file is changed at that moment.
	ByName bool
	// Unsafe is why a server would refuse the file whatever its bytes are: it is missing, no program, or
	// others could replace it.
	Unsafe error
	// Mismatch is why a server would refuse its bytes: they are not what they are pinned to, or
	// the pin can not be used.
	Mismatch error
}

// Err is why a server would not start the program, or nil.
func (t Trust) Err() error { return errors.Join(t.Unsafe, t.Mismatch) }

// Examine looks at the program of spec as a server does before it starts it.
func Examine(spec Spec) Trust {
	var t Trust
	if t.Path, t.Unsafe = locate(spec); t.Unsafe != nil {
		return t
	}
	var c candidate
	if c, t.Unsafe = lookAt(spec); t.Unsafe != nil {
		return t
	}
	sum, native, err := digestOf(c.path)
	if err != nil {
		t.Unsafe = fmt.Errorf("read plugin to tell its sha256: %w", err)
		return t
	}
	t.SHA256, t.ByName = hex.EncodeToString(sum), !native || !executesDescriptors
	want, err := pinOf(spec, c)
	switch {
	case err != nil:
		t.Mismatch = err
	case want != nil:
		t.PinnedBy = want.by
		if err := want.check(sum); err != nil {
			t.Mismatch = fmt.Errorf("check sha256 of plugin %s: %w", c.path, err)
		}
	}
	return t
}

func digestOf(path string) (sum []byte, native bool, err error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, false, err
	}
	defer func() { _ = file.Close() }() // opened for reading
	return digest(file)
}

// Inspection is what a plugin says about itself.
type Inspection struct {
	Trust // the zero value for one that was attached to

	Description wire.Description // the zero value with a Problem
	// Problem is why the plugin could not be asked; nil if it answered.
	Problem error
}

// Inspect starts the plugin of spec as a server does, or attaches to it, asks what it is, and
// stops it. It needs no options and does not configure the plugin. One that a server would
// refuse is not started. It takes twice spec.StartTimeout at most and some seconds to stop the
// plugin, whatever that does, and nothing of it is left.
func Inspect(ctx context.Context, spec Spec, log hclog.Logger) Inspection {
	var found Inspection
	if spec.Attach == "" {
		if found.Trust = Examine(spec); found.Err() != nil {
			found.Problem = found.Err()
			return found
		}
	}
	ctx, cancel := context.WithTimeout(ctx, 2*spec.startTimeout())
	defer cancel()
	p, err := reach(ctx, spec, log)
	if err != nil {
		found.Problem = err
		return found
	}
	found.Description, err = describe(ctx, wire.NewClient(conn{p.connection()}, spec.Type), spec.Type)
	if errors.Is(err, storage.ErrUnavailable) {
		err = p.explain(err)
	}
	found.Problem = err
	grace := stopGrace
	if err != nil {
		grace = 0
	}
	p.stop(grace)
	return found
}
