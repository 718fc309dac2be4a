package storagetest

import (
	"context"
	"time"

	"github.com/holdfast/holdfast/sdk/storage"
)

// Harness is what the suite needs of the store under test.
type Harness struct {
	// Open returns a new client of one and the same store, as another node would have,
	// and what it declares. ctx bounds Open only. The suite closes the client. The store
	// may hold other things: every case works below a random directory.
	Open func(ctx context.Context) (storage.Backend, storage.Capabilities, error)

	// Expect are the profiles that must be offered and kept. It must not be empty.
	Expect []Profile

	// Checked says that the clients check keys and limits themselves, as those of a plugin
	// across the wire do. Otherwise they are an author's own type, and the suite
	// checks before it calls, in the place of the SDK.
	Checked bool

	// Disturbed says that something makes the store unavailable for moments while the
	// suite runs, for example a test that kills its leader. Calls that fail with
	// ErrUnavailable are then made again, and writes whose outcome is unknown are settled.
	// If it is not set, such a failure breaks a promise.
	Disturbed bool

	// Program is the plugin's program, for the cases of profile Process.
	Program Program

	// Elsewhere is Open for another set of data in the same store, as the configuration of
	// another cluster's nodes would name it: another path, or another name.
	Elsewhere func(ctx context.Context) (storage.Backend, storage.Capabilities, error)

	// Link returns a new way to the store, which cases break and mend.
	Link func(ctx context.Context) (Link, error)

	// Usage counts what a client may leak, by name: goroutines, open files. Nil means the
	// goroutines of this process, where the clients are.
	Usage func() (map[string]int, error)

	// Memory is how much memory a client may have grown, in bytes. Nil means the heap of this
	// process, where the clients are.
	Memory func() (int, error)

	// Patience is how long a call without a deadline of its own may take, and a quarter
	// of it how long a call may outlive its context, before it hangs. Zero means one
	// minute: slowness is no broken promise.
	Patience time.Duration

	// Long makes cases that are cut short where the store is slow run at full length.
	Long bool

	// Seed makes the random choices of the cases. Zero means a random seed; it is part of
	// every failure.
	Seed uint64

	// Only, if not empty, are the IDs of the cases to run.
	Only []string

	// Reproduce returns the command line that runs one case again; nil means none is known.
	Reproduce func(c Case, seed uint64) string
}

// Program is a plugin's program and the way a host runs it.
type Program interface {
	// Start runs the program in a process of its own, as a host does, configured as the
	// clients of Harness.Open are. The caller closes the Instance.
	Start(ctx context.Context) (Instance, error)

	// StartUnderHost runs a host that runs the program, both in processes of their own, until
	// kill ends the host at once. The plugin's process is pid.
	StartUnderHost(ctx context.Context) (pid int, kill func() error, err error)

	// Configure starts the program with one more option in its configuration and
	// ends it again. It returns the error of starting and configuring.
	Configure(ctx context.Context, option, value string) error

	// ByHand runs the program as a person would, with arguments, and returns its output.
	ByHand(ctx context.Context, args ...string) (stdout []byte, err error)

	// Describe asks a process of the program, without configuring it, what it is.
	Describe(ctx context.Context) (Description, error)

	// KeepsData says that what is stored outlives the process, and other processes share it.
	// It is false for a store in the memory of the plugin.
	KeepsData() bool

	// Secrets are the values of the configuration that are nobody's business, and a canary
	// that is in the environment of the host.
	Secrets() []string
}

// Description is what a program says of itself.
type Description struct {
	Name     string
	Version  string
	Services []string // full names of the gRPC services
}

// Direction is a way along a Link.
type Direction int

// The directions of a Link.
const (
	ToStore Direction = iota
	FromStore
)

// Link is one way to the store. All of its clients use it, and have no other way. Its methods
// may be called by several goroutines at once.
type Link interface {
	// Open returns a new client at the end of the link. The link may be cut already.
	Open(ctx context.Context) (storage.Backend, storage.Capabilities, error)
	// Cut ends every connection and refuses new ones, until Heal.
	Cut()
	// CutAfter lets as many more messages pass in direction, and cuts when there is another.
	CutAfter(direction Direction, messages int)
	// IsCut reports whether the link is cut now.
	IsCut() bool
	// Hold lets nothing pass and ends no connection, until Heal.
	Hold()
	// Delay makes whatever passes arrive later, by d in each direction, until Heal.
	Delay(d time.Duration)
	// Heal makes the link whole.
	Heal()
	// Close frees the link. The clients were closed before.
	Close() error
}

// Instance is a process of the program under the supervision of a host: it is restarted when
// it dies, and its calls wait for that. Without HA, Commit and Watch answer
// storage.ErrUnsupported.
type Instance interface {
	storage.HABackend

	Capabilities() storage.Capabilities
	// PID is the process id of now; 0 while there is no process.
	PID() int
	// Socket is the path of the unix socket of now; empty while there is none.
	Socket() string
	// Attach returns one more client in the same process.
	Attach(ctx context.Context) (storage.Backend, error)
	// AttachAt returns one more client in the process behind the unix socket at path, which
	// a case has put between itself and the process.
	AttachAt(ctx context.Context, path string) (storage.Backend, error)
	// Output is what the plugin and its supervision have logged so far.
	Output() string
}
