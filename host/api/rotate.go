package api

import (
	"context"
	"net/http"
	"time"

	"github.com/holdfast/holdfast/host/rotation"
)

// Keys is what Logical needs of the encryption key's rotation. See rotation.Rotator.
type Keys interface {
	Rotate(ctx context.Context) error
	Status() rotation.Status
	Policy() rotation.Policy
	SetPolicy(ctx context.Context, change func(*rotation.Policy)) error
}

// rotate answers sys/rotate, which makes a new key, and sys/rotate/config, which says when
// that happens by itself.
func (l *Logical) rotate(ctx context.Context, c *call, rest string) (answer, error) {
	switch rest {
	case "", "keyring": // newer clients say what they rotate
		if !c.isWrite() {
			return answer{}, notAllowed()
		}
		return written(), l.cfg.Keys.Rotate(ctx)
	case "config", "keyring/config":
		if c.Method == http.MethodGet {
			return rotationPolicy(l.cfg.Keys.Policy()), nil
		}
		if !c.isWrite() {
			return answer{}, notAllowed()
		}
		return written(), l.setRotationPolicy(ctx, c)
	}
	return answer{}, notFound("this version of Holdfast has no sys/rotate/" + rest)
}

func rotationPolicy(p rotation.Policy) answer {
	interval := any(0) // as clients know it
	if p.Interval != 0 {
		interval = p.Interval.String()
	}
	return readOf(object{"enabled": p.Enabled, "max_operations": p.Operations, "interval": interval})
}

// setRotationPolicy changes what the body names and leaves the rest as it is.
func (l *Logical) setRotationPolicy(ctx context.Context, c *call) error {
	var body struct {
		Enabled    *boolean  `json:"enabled"`
		Operations *number   `json:"max_operations"`
		Interval   *duration `json:"interval"`
	}
	if err := decodeBody(c.Body, &body); err != nil {
		return err
	}
	if body.Operations != nil && *body.Operations < 0 {
		return badRequest("max_operations must not be negative")
	}
	return l.cfg.Keys.SetPolicy(ctx, func(p *rotation.Policy) {
		if body.Enabled != nil {
			p.Enabled = bool(*body.Enabled)
		}
		if body.Operations != nil {
			p.Operations = uint64(*body.Operations)
		}
		if body.Interval != nil {
			p.Interval = time.Duration(*body.Interval)
		}
	})
}

// keyStatus answers sys/key-status: the key in use. The count is of all nodes, and rather
// too high than too low.
func (l *Logical) keyStatus(_ context.Context, c *call, rest string) (answer, error) {
	if rest != "" || c.Method != http.MethodGet {
		return answer{}, notAllowed()
	}
	key := l.cfg.Keys.Status()
	return answer{data: object{
		"term": key.Term, "install_time": key.Installed.UTC().Format(time.RFC3339Nano), "encryptions": key.Seals,
	}, flat: true}, nil
}
