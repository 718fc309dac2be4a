// Package plugin runs storage backends that are programs of their own. It finds the
// program, checks that nobody else may replace it, starts it with an empty
// environment, talks gRPC to it over a private unix socket, and replaces the
// process when it dies or freezes. What the rest of the host sees is a [Storage].
package plugin

import "time"

// Spec says which plugin to run and how. The zero value of each field but Type is
// usable: a plugin then comes from Directory, is not pinned and gets no arguments.
type Spec struct {
	// Type is the storage type; it names the program, holdfast-storage-<Type>, and
	// must be the name by which the plugin describes itself.
	Type string
	// Directory holds the plugins. It and the programs must belong to root or to the
	// user of this process and must be writable by nobody else.
	Directory string
	// Command replaces the program of Type: a path, relative to Directory or
	// absolute. An absolute one is held to the same rules in its own directory.
	Command string
	Args    []string
	// Env is, as NAME=value, all of the environment that the plugin gets besides the
	// variables of the plugin protocol. Nothing is taken from this process.
	Env []string
	// SHA256 pins the program, in hex. Empty means not pinned.
	SHA256 string
	// Confinement is what the process is kept from.
	Confinement Confinement
	// Attach is the address, unix:///path, of a plugin that runs already. Nothing is
	// started then, and Directory, Command, Args, Env, SHA256 and Confinement do not matter.
	Attach string
	// Options are the storage stanza: name to string, bool, number or list of strings.
	Options map[string]any
	// Place says where an option of the stanza was set, FILE:LINE, and where the stanza begins for
	// the empty name; empty if it does not know. It is for errors. nil knows nothing.
	Place func(option string) string `json:"-"` // the conformance suite hands a Spec to a process
	// StartTimeout bounds the time from starting the program to its handshake; zero
	// means 5 s.
	StartTimeout time.Duration
	// Patience is how long the plugin may be frozen; the zero value is the default.
	Patience Patience
}

// Patience is how long a process may be frozen before it is replaced.
type Patience struct {
	// Stopped is for a process that a signal has stopped, for example SIGSTOP; zero means
	// 50 ms. Only Linux tells.
	Stopped time.Duration
	// Silent is for one that runs, for all one can see, and does not answer; zero means
	// 5 s: on a machine without spare time healthy processes are silent for seconds.
	Silent time.Duration
}

func (p Patience) withDefaults() Patience {
	if p.Stopped <= 0 {
		p.Stopped = 50 * time.Millisecond
	}
	if p.Silent <= 0 {
		p.Silent = 5 * time.Second
	}
	return p
}

// Info is a snapshot of what runs.
type Info struct {
	Name     string // as the plugin describes itself
	Version  string // of the plugin
	SDK      string // what it was built with
	Path     string // of the program, or the address attached to
	PID      int    // 0 while it is down and when attached
	Address  string // unix:///path of its socket, to attach to; empty while it is down
	Protocol int    // version of the plugin protocol that both ends speak
	// SHA256 of the program that runs, in hex: of its very bytes, or of the file at Path if that
	// is a script. Empty for a moment after the start, and when attached.
	SHA256      string
	Started     time.Time // of the process, or of the connection when attached; zero while it is down
	Restarts    int       // how often it was lost, and replaced or attached to again
	LastRestart time.Time // the last time of these; zero if there was none
	Reloads     int       // how often it was replaced by Reload
	LastReload  time.Time // likewise
	LastWill    bool      // the plugin takes a last will, see SetLastWill
	// LastError is why it is down, or was last, with the end of what it wrote to its standard
	// error; nil if it never was.
	LastError error
}

// ProgramPrefix and the storage type are the file name of a plugin.
const ProgramPrefix = "holdfast-storage-"

const (
	defaultStartTimeout = 5 * time.Second

	// openTimeout bounds everything between finding the program and a configured
	// backend, when the caller's context leaves more time.
	openTimeout = 30 * time.Second
)

func (s Spec) startTimeout() time.Duration {
	if s.StartTimeout > 0 {
		return s.StartTimeout
	}
	return defaultStartTimeout
}
