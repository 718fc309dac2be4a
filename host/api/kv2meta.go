package api

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/holdfast/holdfast/host/kv"
)

// settingsBody is what a client sends to change the settings of a path or a mount.
type settingsBody struct {
	MaxVersions        *number   `json:"max_versions"`
	CASRequired        *bool     `json:"cas_required"`
	DeleteVersionAfter *duration `json:"delete_version_after"`
}

func (b settingsBody) change() kv.SettingsChange {
	return kv.SettingsChange{
		MaxVersions: (*int)(b.MaxVersions), CASRequired: b.CASRequired,
		DeleteVersionAfter: (*time.Duration)(b.DeleteVersionAfter),
	}
}

func settingsView(s kv.Settings) object {
	return object{
		"max_versions": s.MaxVersions, "cas_required": s.CASRequired,
		"delete_version_after": s.DeleteVersionAfter.String(),
	}
}

// config answers config, the settings of the mount.
func (k kvV2) config(ctx context.Context, c *call) (answer, error) {
	switch {
	case c.Method == http.MethodGet:
		settings, err := k.mount.Config(ctx)
		return readOf(settingsView(settings)), err
	case c.isWrite():
		var body settingsBody
		if err := decodeBody(c.Body, &body); err != nil {
			return answer{}, err
		}
		return written(), k.mount.SetConfig(ctx, body.change())
	default:
		return answer{}, notAllowed()
	}
}

// metadata answers metadata/:path.
func (k kvV2) metadata(ctx context.Context, c *call, path string) (answer, error) {
	switch {
	case c.Method == "LIST":
		return listed(k.mount.List(ctx, path))
	case path == "":
		return answer{}, notAllowed() // the mount itself can only be listed
	case c.Method == http.MethodGet:
		m, err := k.mount.Metadata(ctx, path)
		if err != nil {
			return answer{}, err
		}
		return readOf(metadataView(m)), nil
	case c.isWrite(), c.Method == http.MethodPatch:
		return k.setMetadata(ctx, c, path)
	case c.Method == http.MethodDelete:
		return written(), k.mount.Purge(ctx, path)
	default:
		return answer{}, notAllowed()
	}
}

// setMetadata changes what the body names. A write replaces the custom metadata as a
// whole and makes a path that does not exist; a patch does neither.
func (k kvV2) setMetadata(ctx context.Context, c *call, path string) (answer, error) {
	var body struct {
		settingsBody
		Custom map[string]*string `json:"custom_metadata"`
	}
	if err := decodeBody(c.Body, &body); err != nil {
		return answer{}, err
	}
	patch := c.Method == http.MethodPatch
	return written(), k.mount.SetMetadata(ctx, path, !patch, kv.MetadataChange{
		SettingsChange: body.change(), Custom: body.Custom, ReplaceCustom: !patch && body.Custom != nil,
	})
}

func metadataView(m kv.Metadata) object {
	versions := object{}
	for _, v := range m.Versions {
		versions[strconv.Itoa(v.Number)] = object{
			"created_time": timeView(v.Created), "deletion_time": timeView(v.Deletion), "destroyed": v.Destroyed,
		}
	}
	view := settingsView(m.Settings)
	view["created_time"], view["updated_time"] = timeView(m.Created), timeView(m.Updated)
	view["current_version"], view["oldest_version"] = m.Current, m.Oldest
	view["custom_metadata"] = customView(m.Custom)
	view["versions"] = versions
	return view
}
