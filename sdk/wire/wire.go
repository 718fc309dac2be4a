// Package wire carries the storage contract over gRPC: [Client] and [Backend] are
// the host's end, [Server] the plugin's. Both ends check keys, limits and answers,
// so neither relies on the other, and errors cross in one place (status.go).
//
// It is for programs that host plugins. Authors of plugins use package sdk.
package wire

import (
	"errors"

	"github.com/holdfast/holdfast/sdk/storage"
)

// How a host and a plugin recognise each other when the host starts the process.
const (
	// CookieKey is the environment variable that tells a binary that a host
	// started it. It keeps people from running plugins by hand; it is no secret.
	CookieKey = "HOLDFAST_PLUGIN"
	// CookieValue is what CookieKey is set to.
	CookieValue = "holdfast-storage-plugin"
	// ProtocolVersion is the version of the launch protocol: the handshake, the
	// environment and the services below. It says nothing of the release.
	ProtocolVersion = 1
	// HostPIDFDKey is the environment variable that names an inherited file
	// descriptor: a pidfd of the host process, readable once the host is dead.
	HostPIDFDKey = "HOLDFAST_HOST_PIDFD"
	// LogLevelKey is the environment variable that sets the level of the plugin's log.
	LogLevelKey = "HOLDFAST_LOG_LEVEL"
	// SetName is the name under which a plugin stands in go-plugin's plugin set.
	SetName = "storage"
)

// Errors of the wire itself, next to those of package storage.
var (
	// ErrUnconfigured: the plugin does not know the backend id, because it was
	// restarted or the backend was closed. Nothing was applied; configure again.
	ErrUnconfigured = errors.New("backend is not configured in this plugin process")
	// ErrInvalidConfig: the plugin refused the storage stanza. From Configure only.
	ErrInvalidConfig = errors.New("invalid storage configuration")
	// ErrBroken: the plugin's answer breaks the contract. It comes together with
	// storage.ErrUnavailable, and the outcome of a write is unknown.
	ErrBroken = errors.New("plugin breaks the storage contract")
)

// Description is what a plugin says of itself before it is configured.
type Description struct {
	Name     string   // type of the backend, for example "consul"
	Version  string   // of the plugin
	SDK      string   // what it was built with
	Services []string // full names of the gRPC services it offers
	Options  []Option // what Configure takes
	HA       bool     // the HABackend service is among Services
	LastWill bool     // the LastWill service is; whether wills are taken depends on how the process was started
}

// Option is one key of a storage stanza.
type Option struct {
	Name        string `json:"name"`
	Type        string `json:"type"` // string, bool, int, duration or list
	Default     string `json:"default,omitempty"`
	Description string `json:"description,omitempty"`
	Required    bool   `json:"required,omitempty"`
	Secret      bool   `json:"secret,omitempty"` // never shown in logs or errors
}

// MaxLimits are the largest limits a backend may declare. The largest Commit within
// them fits [MaxMessageBytes] with everything that travels along: the guard's Prev,
// its version and the framing of every op.
func MaxLimits() storage.Limits {
	return storage.Limits{
		MaxKeyBytes:   storage.MaxKeyBytes,
		MaxValueBytes: 2 << 20,
		MaxOps:        8192,
		MaxBatchBytes: 4 << 20,
	}
}
