// Package clock reads the clock that leases are measured on.
package clock

import "time"

// Instant is a reading of a node's own clock: nanoseconds since some moment
// before the node started. Instants of two machines are never compared and
// never cross a process boundary.
type Instant int64

// Add returns the instant d after t.
func (t Instant) Add(d time.Duration) Instant { return t + Instant(d) }

// Sub returns the time from u to t.
func (t Instant) Sub(u Instant) time.Duration { return time.Duration(t - u) }
