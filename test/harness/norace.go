//go:build !race

package harness

// raceEnabled: the test was built with the race detector.
const raceEnabled = false
