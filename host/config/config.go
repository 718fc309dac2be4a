// Package config reads the server's configuration: HCL or JSON files with the keys
// of Vault's server configuration, and a few of our own. Every key of Vault's is known,
// and is used, ignored with a warning, or refused with the reason; any other key is an
// error that names file, line and key. All errors are reported at once.
package config

import "time"

// Config is the configuration of one server. It does not change after Load and
// ApplyEnv.
type Config struct {
	// PluginDirectory is where storage plugins are started from.
	PluginDirectory string
	// APIAddr and ClusterAddr are the advertise addresses, or go-sockaddr templates of
	// them; empty to find one. See package advertise.
	APIAddr, ClusterAddr string
	// ClusterName is for people; empty to make one up at initialisation.
	ClusterName string

	Storage   Storage
	Listeners []Listener
	Plugins   map[string]Plugin // by storage type
	HA        HA
	Log       Log

	// MaxRequestDuration is for listeners that say nothing else.
	MaxRequestDuration time.Duration
}

// Storage says which plugin stores the data, and how.
type Storage struct {
	Type string
	// Options are the plugin's own, not interpreted here: strings, booleans, int64,
	// float64, and lists ([]any) of them.
	Options map[string]any

	at     position
	places map[string]position // of the options
}

// Place says where option was set, as FILE:LINE, or where the stanza begins, for one that is
// not in it. It is empty if that was no file.
func (s Storage) Place(option string) string {
	if at, ok := s.places[option]; ok {
		return at.String()
	}
	return s.at.String()
}

// Plugin pins or redirects the plugin of one storage type.
type Plugin struct {
	Confinement

	SHA256  string   // of the binary, in hex; empty not to check it
	Command string   // path of the binary; empty for the one in the plugin directory
	Args    []string // of the command
	Env     []string // NAME=value; the plugin gets nothing of the server's environment
	Attach  string   // unix:///path of a plugin that is running already; empty to start one
}

// Confinement is what the plugin's process is kept from.
type Confinement struct {
	User          string // whom it runs as; empty for the server's
	NewPrivileges bool   // it may gain some, as from setuid programs
	MaxOpenFiles  int64  // 0 for the server's limit
	MaxMemory     int64  // bytes; 0 for the server's limit
}

// HA is the timing of high availability. See Validate for the limits.
type HA struct {
	Lease    time.Duration // how long the active node may answer from memory after a Commit
	Beat     time.Duration // how often it commits to keep the lease
	Hold     time.Duration // how long a request waits while no node is active; 0 not to wait
	ReadMode ReadMode
}

// ReadMode says how the active node knows that what it answers is not stale.
type ReadMode string

// The read modes.
const (
	ReadLease  ReadMode = "lease"  // while its lease lasts, from memory
	ReadStrict ReadMode = "strict" // by asking the store, each time
)

// Log says what is logged, and how. All logs go to standard error.
type Log struct {
	Level  string // trace, debug, info, warn or error
	Format string // standard or json
}

// Listener is one address on which the API is served.
type Listener struct {
	Address        string // host:port, or a go-sockaddr template of it
	ClusterAddress string // host:port for other nodes; empty for the port after that of Address
	TLS            TLS
	Limits         Limits

	at position
}

// TLS is how a listener does TLS.
type TLS struct {
	Disable            bool // plain HTTP
	CertFile, KeyFile  string
	ClientCAFile       string // whose certificates clients may show
	RequireClientCert  bool   // and must
	DisableClientCerts bool   // or are not asked for
	MinVersion         uint16 // as in crypto/tls
	MaxVersion         uint16 // 0 for the newest
	CipherSuites       []uint16
}

// Limits is how much of a listener one request may use. Timeouts of 0 are none.
type Limits struct {
	MaxRequestSize     int64 // bytes of a request's body
	MaxRequestDuration time.Duration
	ReadTimeout        time.Duration
	ReadHeaderTimeout  time.Duration
	WriteTimeout       time.Duration
	IdleTimeout        time.Duration
}

// Default returns what holds where nothing is configured. It has neither storage nor a
// listener, and is therefore not valid yet.
func Default() *Config {
	return &Config{
		Plugins:            map[string]Plugin{},
		HA:                 HA{Lease: 2 * time.Second, Beat: 400 * time.Millisecond, Hold: 5 * time.Second, ReadMode: ReadLease},
		Log:                Log{Level: "info", Format: "standard"},
		MaxRequestDuration: 30 * time.Second,
	}
}

// Dev returns the configuration of a development server: in memory, plain HTTP on the
// loopback interface. The caller says where the plugins are.
func Dev() *Config {
	c := Default()
	c.Storage = Storage{Type: "inmem", Options: map[string]any{}}
	l := defaultListener()
	l.TLS.Disable = true
	l.Limits.MaxRequestDuration = c.MaxRequestDuration
	c.Listeners = []Listener{l}
	return c
}
