package api

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/holdfast/holdfast/host/kv"
	"github.com/holdfast/holdfast/host/mount"
)

// sysMounts answers sys/mounts, sys/mounts/:path and sys/mounts/:path/tune.
func (l *Logical) sysMounts(ctx context.Context, c *call, path string) (answer, error) {
	if path == "" {
		if c.Method != http.MethodGet {
			return answer{}, notAllowed()
		}
		mounts, err := l.listMounts(ctx)
		return answer{data: mounts, flat: true}, err
	}
	if tuned, ok := strings.CutSuffix(path, "/tune"); ok {
		return l.tune(ctx, c, tuned)
	}
	switch {
	case c.Method == http.MethodGet:
		m, err := l.mountAt(ctx, path)
		if err != nil {
			return answer{}, err
		}
		return answer{data: mountView(m), flat: true}, nil
	case c.Method == http.MethodDelete:
		return written(), l.mounts.Disable(ctx, path)
	case c.isWrite():
		return l.enable(ctx, c, path)
	default:
		return answer{}, notAllowed()
	}
}

func (l *Logical) listMounts(ctx context.Context) (object, error) {
	mounts, err := l.mounts.List(ctx)
	if err != nil {
		return nil, err
	}
	views := object{}
	for _, m := range mounts {
		views[m.Path] = mountView(m)
	}
	return views, nil
}

// mountAt returns the mount at exactly path.
func (l *Logical) mountAt(ctx context.Context, path string) (mount.Entry, error) {
	m, err := l.mounts.Lookup(ctx, path)
	if err == nil && m.Path != strings.TrimSuffix(path, "/")+"/" {
		err = mount.ErrNotFound
	}
	return m, err
}

// mountConfig is the part of a mount that can be tuned, as clients send it.
type mountConfig struct {
	DefaultLeaseTTL *duration         `json:"default_lease_ttl"`
	MaxLeaseTTL     *duration         `json:"max_lease_ttl"`
	ForceNoCache    *bool             `json:"force_no_cache"`
	Options         map[string]string `json:"options"`
}

func (mc mountConfig) apply(e *mount.Entry) {
	if mc.DefaultLeaseTTL != nil {
		e.Config.DefaultLeaseTTL = time.Duration(*mc.DefaultLeaseTTL)
	}
	if mc.MaxLeaseTTL != nil {
		e.Config.MaxLeaseTTL = time.Duration(*mc.MaxLeaseTTL)
	}
	if mc.ForceNoCache != nil {
		e.Config.ForceNoCache = *mc.ForceNoCache
	}
	if len(mc.Options) > 0 {
		e.Options = mc.Options
	}
}

func (l *Logical) enable(ctx context.Context, c *call, path string) (answer, error) {
	var body struct {
		Type        string            `json:"type"`
		Description string            `json:"description"`
		Config      mountConfig       `json:"config"`
		Options     map[string]string `json:"options"`
		Local       bool              `json:"local"`
		SealWrap    bool              `json:"seal_wrap"`
	}
	if err := decodeBody(c.Body, &body); err != nil {
		return answer{}, err
	}
	if body.Type == "" {
		return answer{}, badRequest("type must be specified in the request body")
	}
	e := mount.Entry{
		Path: path, Type: body.Type, Description: body.Description, Local: body.Local, SealWrap: body.SealWrap,
	}
	body.Config.apply(&e)
	if len(body.Options) > 0 {
		e.Options = body.Options
	}
	_, err := l.mounts.Enable(ctx, e)
	return written(), err
}

func (l *Logical) tune(ctx context.Context, c *call, path string) (answer, error) {
	switch {
	case c.Method == http.MethodGet:
		m, err := l.mountAt(ctx, path)
		if err != nil {
			return answer{}, err
		}
		config := configView(m)
		for _, ttl := range []string{"default_lease_ttl", "max_lease_ttl"} {
			if config[ttl] == int64(0) {
				config[ttl] = int64(kv.LeaseSeconds) // what is in force
			}
		}
		config["description"], config["options"] = m.Description, optionsView(m)
		return answer{data: config, flat: true}, nil
	case c.isWrite():
		var body struct {
			mountConfig
			Description *string `json:"description"`
		}
		if err := decodeBody(c.Body, &body); err != nil {
			return answer{}, err
		}
		return written(), l.mounts.Tune(ctx, path, func(e *mount.Entry) {
			body.apply(e)
			if body.Description != nil {
				e.Description = *body.Description
			}
		})
	default:
		return answer{}, notAllowed()
	}
}

// preflight answers sys/internal/ui/mounts and sys/internal/ui/mounts/:path, where
// clients look which version of kv a path is. A path without a mount is 403: after a 404
// they would go on as if it were version 1.
func (l *Logical) preflight(ctx context.Context, c *call, path string) (answer, error) {
	if c.Method != http.MethodGet {
		return answer{}, notAllowed()
	}
	if path == "" {
		mounts, err := l.listMounts(ctx)
		if err != nil {
			return answer{}, err
		}
		methods, err := l.listMethods(ctx)
		return readOf(object{"secret": mounts, "auth": methods}), err
	}
	m, err := l.mounts.Lookup(ctx, path)
	if err == nil {
		view := mountView(m)
		view["path"] = m.Path
		return readOf(view), nil
	}
	if errors.Is(err, mount.ErrNotFound) {
		return answer{}, &refusal{status: http.StatusForbidden, messages: []string{
			"preflight capability check returned 403, please ensure client's policies grant access to path \"" + path + "/\"",
		}}
	}
	return answer{}, err
}

// sysAuth answers sys/auth. The token method is the only one there is.
func (l *Logical) sysAuth(ctx context.Context, c *call, rest string) (answer, error) {
	if rest != "" {
		return answer{}, notFound("auth methods other than token are not supported yet")
	}
	if c.Method != http.MethodGet {
		return answer{}, notAllowed()
	}
	methods, err := l.listMethods(ctx)
	return answer{data: methods, flat: true}, err
}

func (l *Logical) listMethods(ctx context.Context) (object, error) {
	id, err := l.tokens.MountID(ctx)
	if err != nil {
		return nil, err
	}
	view := mountView(mount.Entry{
		Type: "token", Description: "token based credentials",
		Accessor: "auth_token_" + id[:8],
		UUID:     strings.Join([]string{id[:8], id[8:12], id[12:16], id[16:20], id[20:]}, "-"),
	})
	return object{"token/": view}, nil
}

func mountView(m mount.Entry) object {
	return object{
		"type": m.Type, "description": m.Description, "accessor": m.Accessor, "uuid": m.UUID,
		"local": m.Local, "seal_wrap": m.SealWrap, "external_entropy_access": false,
		"options": optionsView(m), "config": configView(m),
		"plugin_version": "", "running_plugin_version": "", "running_sha256": "", "deprecation_status": "supported",
	}
}

func configView(m mount.Entry) object {
	return object{
		"default_lease_ttl": int64(m.Config.DefaultLeaseTTL / time.Second),
		"max_lease_ttl":     int64(m.Config.MaxLeaseTTL / time.Second),
		"force_no_cache":    m.Config.ForceNoCache,
	}
}

// optionsView returns the options, or null where there are none.
func optionsView(m mount.Entry) any {
	if len(m.Options) == 0 {
		return nil
	}
	return m.Options
}
