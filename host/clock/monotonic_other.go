//go:build !linux

package clock

import "time"

// read reads the wall clock here, because Go's monotonic clock may stop while the
// machine sleeps. A wall clock that is set back would lengthen a lease:
// outside Linux, use the strict read mode.
func read() Instant { return Instant(time.Now().Round(0).UnixNano()) }
