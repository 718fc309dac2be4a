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
//
// # What a failure means
//
// A case fails only for a broken promise. Slowness is none: bounds are generous, and times are
// notes in the report. A run that failed while this process had to wait for a processor is void and
// made again. A store that somebody disturbs on purpose answers with storage.ErrUnavailable;
// reads are then made again, and writes whose outcome is unknown are settled as the contract
// says (see Harness.Disturbed).
//
// # Where which number is
//
// Cases are numbered for good, as C (keys and listings), T (batches), H (Commit and Watch), P (the
// process) and W (the last will). What only this repository's own SDK and host can get wrong is
// not for authors to test; these numbers are tests elsewhere:
//
//	C-19  options that are unknown or wrong, secrets   P-15 and P-17 here, TestDecode* of sdk/internal/config
//	H-13  killed in the middle of a Commit             P-20
//	H-14  frozen                                       P-08, P-21
//	H-15  the store's leader dies under load           T and H with Harness.Disturbed: TestPluginsWhileLeadersDie of test/conformance
//	H-18  offers high availability without atomicity   the mutants of H-03, H-04 and H-06, TestBroken of host/plugin
//	P-02  prints before it serves                      TestPrintBeforeServe, TestOutputIsLogged of host/plugin
//	P-04  levels of its log, very long lines           TestLevelsAreKept, TestOutputIsLogged of host/plugin, TestLaunchedByAHost of sdk
//	P-05  panics                                       TestPanicInACall, TestPanicEndsTheProcess of host/plugin, TestPanicFailsOneCallOnly of sdk/wire
//	P-07  crashes again and again                      TestCrashLoop of host/plugin
//	P-10  a program that must not be run               TestOpenRefusesProgram, TestSocketPathIsShort of host/plugin
//
// The numbers P-11 (an older SDK with a newer host), P-12 (replaced under load) and P-16 (idle for
// minutes) are kept for what there is no test of yet.
package storagetest
