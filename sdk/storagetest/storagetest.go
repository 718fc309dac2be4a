// Package storagetest checks that a storage backend keeps the promises of package
// storage. The promises are cases, which are data: see [Cases]. A backend's contract
// test is
//
//	func TestContract(t *testing.T) {
//		storagetest.Run(t, storagetest.Harness{
//			Open:   open, // a new client of the store under test
//			Expect: []storagetest.Profile{storagetest.Core, storagetest.Txn, storagetest.HA},
//		})
//	}
//
// and the command "holdfast plugin test" runs the same cases on a plugin's binary,
// whatever language it is written in.
//
// What the caller expects decides: a profile that is expected and not offered is a
// failure, one that is offered is tested whether expected or not, and a case that was
// skipped has not passed.
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
	// Timeout bounds one run; zero means one minute.
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
}

const defaultTimeout = time.Minute

func (c Case) timeout() time.Duration {
	if c.Timeout > 0 {
		return c.Timeout
	}
	return defaultTimeout
}

// Cases lists every case, profile by profile.
func Cases() []Case {
	return slices.Concat(
		valueCases(), keyCases(), listCases(), callCases(), sharingCases(),
		txnCases(),
		commitCases(), watchCases(), outcomeCases(),
		programCases(), deathCases(),
	)
}
