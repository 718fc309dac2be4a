package api

import (
	"context"
	"time"

	"github.com/holdfast/holdfast/host/version"
)

// Request is one client request as the active node sees it, whether it arrived
// here or was forwarded by a standby.
type Request struct {
	Method     string // GET, LIST, PUT, POST, PATCH, DELETE; GET with ?list=true has become LIST
	Path       string // below /v1/, decoded and checked: no empty, "." or ".." segment but for one trailing slash
	Query      map[string][]string
	Token      string // X-Vault-Token or bearer; empty if none
	Strict     bool   // X-Holdfast-Consistency: strict
	MergePatch bool   // Content-Type: application/merge-patch+json
	Body       []byte
	RemoteAddr string // of the client
}

// Response is the answer to a Request.
type Response struct {
	Status     int
	Body       []byte // JSON, or empty
	Location   string // with Status 307
	RetryAfter int    // seconds, with Status 503; 0 = no header
}

// Node is what the HTTP server needs of the node it runs on.
type Node interface {
	// Status is a snapshot. It never blocks and never does I/O.
	Status() Status

	// Initialized asks the store, for at most the time ctx allows, whether the cluster
	// was initialised, if this node does not know yet that it was.
	Initialized(ctx context.Context) (bool, error)
	// Init initialises the cluster: keys, seal, first token. Exactly one of any number
	// of concurrent calls on any nodes succeeds; the others get ErrInitialized. ErrNotEmpty
	// if the store holds anything else: nothing is ever overwritten.
	Init(ctx context.Context, req InitRequest) (InitResult, error)
	// Unseal adds one key share; see Status for the progress. ErrNotInitialized; any other
	// error that wraps ErrBadShare is the client's.
	Unseal(ctx context.Context, share []byte) error
	// ResetUnseal forgets the shares given so far.
	ResetUnseal()
	// Seal hands over if this node is active, forgets the keys and stays sealed.
	// It seals this node only. token needs the root policy (ErrPermission).
	Seal(ctx context.Context, token string) error

	// AcceptRestore has the cluster go on from the store as it is, when the term record was deleted,
	// garbled or put back to an older state. It works on every unsealed node. token needs
	// the root policy (ErrPermission). ha.ErrNothingToAccept.
	AcceptRestore(ctx context.Context, token string) error

	// StoragePlugin describes the storage plugin of this node. Every unsealed node answers for
	// itself. token needs the root policy (ErrPermission).
	StoragePlugin(ctx context.Context, token string) (StoragePlugin, error)
	// ReloadPlugin replaces the storage plugin of this node by a freshly started process of
	// what is in its place now, and describes that. No request fails for it, and the node stays what it
	// is, active or not. token as above. plugin.ErrReloading; plugin.ErrNotReloaded if
	// the new one will not do: the old one goes on.
	ReloadPlugin(ctx context.Context, token string) (StoragePlugin, error)

	// Route runs the request on the active node, which may be this one, and holds it
	// while there is none. It always returns a Response.
	Route(ctx context.Context, req *Request) *Response
}

// Status is a snapshot of a node.
type Status struct {
	Version     string
	StorageType string
	Initialized bool
	Sealed      bool
	Shares      int
	Threshold   int
	Progress    int    // shares given so far
	Nonce       string // of the unseal attempt in progress

	ClusterName string
	ClusterID   string

	HA             bool      // high availability is on
	Role           Role      // of this node
	ActiveSince    time.Time // zero unless this node is active
	LeaderAPIAddr  string    // of the active node; empty if not known
	LeaderCluster  string
	InForce        version.Set   // what the record says that the cluster uses; zero while sealed
	Epoch          uint64        // of the term record last seen
	LeaseRemaining time.Duration // of this node if active
	LastChange     time.Time     // of the active node, whichever it is, as this node learned of it
	LastReason     string        // what changed, and why
	Generation     uint64        // how often an operator accepted a restored store
	RecordError    string        // why there is no term record to work with, and the remedy; empty if there is one
	Members        []Member      // this node first; on a standby the others as the active node told last
}

// Role of a node. The zero Role is a sealed node's.
type Role string

// The roles.
const (
	RoleNone      Role = ""          // sealed or not initialised
	RoleStandby   Role = "standby"   // unsealed; another node is active, or none
	RoleActive    Role = "active"    // answers requests
	RoleSuspended Role = "suspended" // active, but the store can not be reached
)

// Member is one node of the cluster.
type Member struct {
	Hostname       string
	InstanceID     string
	APIAddress     string
	ClusterAddress string
	Version        string
	Speaks         version.Set // the newest of everything that it speaks
	Active         bool
	Role           Role      // RoleNone: not known
	LastEcho       time.Time // zero for the active node
	Attached       time.Time // when it attached to the active node; likewise
	Epoch          uint64    // of the term record that it saw last
}

// InitRequest is the body of sys/init that Holdfast supports.
type InitRequest struct {
	Shares    int
	Threshold int
}

// InitResult is what init returns, once.
type InitResult struct {
	Shares    [][]byte
	RootToken string
}
