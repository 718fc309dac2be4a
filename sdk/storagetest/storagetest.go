package storagetest

import (
	"slices"
	"time"
)

// Profile is a group of promises that a backend makes together.
type Profile string

// The profiles.
const (
	Core    Profile = "core"    // single keys and listings: every backend
	Txn     Profile = "txn"     // batches are atomic: every backend
	HA      Profile = "ha"      // Commit and Watch: storage.HABackend
	Process Profile = "process" // the plugin as a process that is started, killed and frozen
)

// Profiles lists all profiles, in the order in which they are run.
func Profiles() []Profile { return []Profile{Core, Txn, HA, Process} }

// A Case checks one promise.
type Case struct {
	// ID names the case for good, for example "C-04". Numbers are not used again.
	ID      string
	Profile Profile
	// Promise is what the backend promises, in one sentence. It is shown when it is broken.
	Promise string
	Needs   Needs
	// Timeout bounds one run, so that a backend that hangs does not stop the suite; zero means
	// five minutes.
	Timeout time.Duration
	// Run works below a directory of its own and reports what it finds to its T.
	Run func(t *T)
}

// Needs is what a case needs besides clients of the store.
type Needs struct {
	// HA: the backend is a storage.HABackend. The case does not apply to others.
	HA bool
	// Program: Harness.Program is there.
	Program bool
	// Elsewhere: Harness.Elsewhere is there.
	Elsewhere bool
	// Link: Harness.Link is there.
	Link bool
}

const defaultTimeout = 5 * time.Minute

func (c Case) timeout() time.Duration {
	if c.Timeout > 0 {
		return c.Timeout
	}
	return defaultTimeout
}

// Cases lists every case, profile by profile.
func Cases() []Case {
	return slices.Concat(
		valueCases(), keyCases(), listCases(), callCases(), sharingCases(), isolationCases(), linkCases(), trafficCases(),
		txnCases(),
		commitCases(), watchCases(), outcomeCases(), linkCommitCases(),
		programCases(), deathCases(), socketCases(), willCases(),
	)
}
