package api

import (
	"context"
	"net/http"
	"time"
)

// StoragePlugin describes the storage plugin of one node, without any value of its options.
type StoragePlugin struct {
	Type            string        `json:"type"`    // as in the storage stanza
	Name            string        `json:"name"`    // as the plugin describes itself
	Version         string        `json:"version"` // of the plugin
	SDK             string        `json:"sdk"`     // what it was built with
	Protocol        int           `json:"protocol"`
	Capabilities    PluginAbility `json:"capabilities"`
	Path            string        `json:"path"`             // of the program, or the address attached to
	SHA256          string        `json:"sha256,omitempty"` // of the program that runs; not known when attached
	PID             int           `json:"pid,omitempty"`    // none while it is down and when attached
	Running         bool          `json:"running"`
	StartTime       time.Time     `json:"start_time,omitzero"`
	UptimeSeconds   int64         `json:"uptime_seconds"`
	Restarts        int           `json:"restarts"` // how often it was lost and started again
	LastRestartTime time.Time     `json:"last_restart_time,omitzero"`
	Reloads         int           `json:"reloads"` // how often an operator had it replaced
	LastReloadTime  time.Time     `json:"last_reload_time,omitzero"`
	// LastError is why it was lost last, or is down, with the end of what it wrote to its standard error.
	LastError string `json:"last_error,omitempty"`
}

// PluginAbility is what a storage plugin can do, with its configuration.
type PluginAbility struct {
	HA         bool `json:"ha"`          // it offers high availability
	HADisabled bool `json:"ha_disabled"` // its configuration switches that off
	LastWill   bool `json:"last_will"`
	// The most bytes of a key, of a value and of a batch, and operations in a batch.
	MaxKeyBytes   int `json:"max_key_bytes"`
	MaxValueBytes int `json:"max_value_bytes"`
	MaxOps        int `json:"max_ops"`
	MaxBatchBytes int `json:"max_batch_bytes"`
}

// storagePlugin describes the storage plugin of this node.
func (s *server) storagePlugin(ctx context.Context, r *http.Request) *Response {
	if !isRead(r) {
		return methodNotAllowed()
	}
	if s.cfg.Node.Status().Sealed {
		return sealed()
	}
	described, err := s.cfg.Node.StoragePlugin(ctx, token(r.Header))
	if err != nil {
		return s.fail(err, "describe the storage plugin")
	}
	return described.response()
}

// reloadPlugin replaces the storage plugin of this node, and describes the new one.
func (s *server) reloadPlugin(ctx context.Context, r *http.Request) *Response {
	if !isWrite(r) {
		return methodNotAllowed()
	}
	if s.cfg.Node.Status().Sealed {
		return sealed()
	}
	described, err := s.cfg.Node.ReloadPlugin(ctx, token(r.Header))
	if err != nil {
		return s.fail(err, "reload the storage plugin")
	}
	return described.response()
}

// response is the usual envelope.
func (p StoragePlugin) response() *Response {
	return plain(object{
		"request_id": newRequestID(), "lease_id": "", "renewable": false, "lease_duration": 0,
		"data": p, "wrap_info": nil, "warnings": nil, "auth": nil,
	})
}
