package ha

import (
	"time"

	"github.com/holdfast/holdfast/host/clock"
	"github.com/holdfast/holdfast/host/version"
	"github.com/holdfast/holdfast/sdk/storage"
)

// Timing of the protocol. The zero value is not usable; see DefaultTiming.
type Timing struct {
	Lease time.Duration // how long the active node may answer from memory after sending a Commit
	Beat  time.Duration // the active node commits at least this often
}

// DefaultTiming is the one of design §6: a dead node is replaced after 2.4 s at
// the latest, and a Commit may be late by four beats before reads become strict.
var DefaultTiming = Timing{Lease: 2 * time.Second, Beat: 400 * time.Millisecond}

// These delays are parts of the protocol, not settings.
const (
	// patience is by how much more than the lease written in the record a standby
	// waits: two clocks may differ in rate by 10 % each way (1.2 * 0.9 > 1).
	patienceNum, patienceDen = 6, 5
	// silence is for how many beats a standby trusts its watch; then it reads the record
	// every beat. If the store does not answer, the active node is not to blame.
	silence = 2
	// otherTarget is how long a standby leaves a record that was handed to another.
	otherTarget = 200 * time.Millisecond
	// cooling is how long a node that stepped down leaves its own record to others.
	cooling = time.Second
	// retryPause is the pause after a Commit or read that the store refused.
	retryPause = 50 * time.Millisecond
	// troublePause is the pause between reads of a record that can not be used, or was
	// not read yet.
	troublePause = time.Second
	// maxTries is how often a Commit of unknown outcome is sent before an empty
	// one settles whether it was applied (P5), and how often a hand-over is.
	maxTries = 3
)

// Role of this node, as the protocol sees it.
type Role uint8

// The roles.
const (
	Standby   Role = iota
	Candidate      // a take-over is in flight
	Active
)

func (r Role) String() string { return [...]string{"standby", "candidate", "active"}[r] }

// Kind says what a Commit is for.
type Kind uint8

// The kinds of Commit. The zero Kind is none.
const (
	None     Kind = iota
	Carry         // writes of clients, if there are any: also the heartbeat
	Probe         // nothing: asks whether the store is back
	Settle        // nothing: makes sure that the Carry before it can not be applied any more
	TakeOver      // makes this node the holder
	GiveUp        // hands the record over; ends the tenure
	Accept        // replaces a damaged record, see AcceptRestore
)

// Attempt is the one Commit that may be in flight.
type Attempt struct {
	Kind   Kind
	Guard  storage.Version // the version of the record that it replaces
	Record Record          // what it writes
	Doubt  BatchID         // with Settle: the Carry whose outcome it settles
	SentAt clock.Instant   // of the last send, read before it
	Tries  int             // sends that may have reached the store
	Stage  Stage
}

// Stage of an Attempt.
type Stage uint8

// The stages of an Attempt.
const (
	Sending Stage = iota // waits for the store's answer
	Pausing              // will be sent again at State.RetryAt
	Reading              // in conflict: the record is being read
	Blind                // in conflict, and the record could not be read; again at RetryAt
)

// State is everything the protocol of one node knows. It is a value: Step
// returns the next one.
type State struct {
	Self   Node
	Timing Timing
	Solo   bool // high availability is disabled: this node must not run beside another
	// Careful: there may be nodes that saw more than this one; they are asked (Ask) before
	// this node takes over.
	Careful bool

	Role    Role
	Known   bool            // Version and Record are what this node saw or wrote last
	Version storage.Version // of the record in the store
	Record  Record
	Changed clock.Instant // when Record was seen to change, or the store was last seen to fail: silence counts from then
	Looked  clock.Instant // when a standby last read the record because it was silent, or unusable
	Trouble string        // why there is no record to work with; empty while it is not known
	Found   found         // with Trouble: what is there instead
	Newest  Record        // the latest ever seen in the store
	Hearsay hearsay       // what other nodes saw
	Writes  writeCheck    // whether the store takes any, as far as this node, a standby, knows
	Stepped clock.Instant // when the last event came
	Twins   int           // Commits seen of another node that advertises this one's address

	Attempt   Attempt
	Lease     clock.Instant // answers from memory are allowed before this instant
	LastSent  clock.Instant // send time of the last successful Commit; the next beat counts from it
	RetryAt   clock.Instant
	Began     uint64 // seq of the Commit with which this node's tenure began
	Suspended bool   // the last Commit failed: the store is away
	Work      bool   // the store layer has something to commit or confirm

	Agreed    version.Set   // what all members speak, as an active node was told; zero: not known
	Leaving   bool          // the tenure is to be given up as soon as nothing is in flight
	Target    string        // of the hand-over; empty = release to anyone
	Reason    string        // why Leaving
	NotBefore clock.Instant // no take-over of a record this node gave up before then

	issued uint64 // batch ids so far
}

// The events.
type (
	// Event is one of the types below.
	Event any

	// Seen means that a linearizable read or the watch found the record.
	Seen struct {
		Version storage.Version
		Record  Record
		Asked   clock.Instant // when the read was sent; zero from a watch
	}
	// Gone means that the record is absent or can not be used.
	Gone struct {
		Damage  Damage
		Reason  string
		Version storage.Version // of what can not be used
		Record  Record          // if it can be read
	}
	// ReadFailed means that a read or watch of the record had no answer.
	ReadFailed struct{}
	// Tick means that time has passed, see State.WakeAt.
	Tick struct{}
	// WorkReady means that writes wait to be committed, or reads for a confirmation.
	WorkReady struct{}
	// Done means that the Commit in flight succeeded.
	Done struct{ Version storage.Version }
	// Conflict means that it was refused because the record is at another version.
	Conflict struct{}
	// Unapplied means that it was not applied, for a reason that may pass.
	Unapplied struct{}
	// Rejected means that it was not applied and never will be, because of what is in it.
	Rejected struct{}
	// Lost means that its outcome is unknown. Unwanted: no request waits for what it carries.
	Lost struct{ Unwanted bool }
	// StepDown asks to hand over to the node Target, or to anyone if empty.
	StepDown struct{ Target, Reason string }
)

// The effects.
type (
	// Effect is one of the types below.
	Effect any

	// Send asks to send State.Attempt. With Again, the identical Commit once more.
	Send struct{ Again bool }
	// Read asks to read the record linearizably.
	Read struct{}
	// Look asks likewise, but an answer overtaken by something newer may be dropped.
	Look struct{}
	// Resolve says what became of the last Carry.
	Resolve struct{ Result Result }
	// Become says that the role changed. From Candidate to Standby there is no Become.
	Become struct {
		Role   Role
		Reason string
	}
	// Refuse says that this node must not run, see State.Solo.
	Refuse struct{ Reason string }
)

// Result of a Carry.
type Result uint8

// The results of a Carry.
const (
	Applied  Result = iota // and this node was active after it was sent
	Again                  // not applied, never will be: its writes may be sent anew
	Refused                // not applied, never will be, because of what is in it
	Doubtful               // nobody will ever know
)
