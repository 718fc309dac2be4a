package clock

import "golang.org/x/sys/unix"

// read reads CLOCK_BOOTTIME, which goes on while the machine is suspended: a lease
// must not outlive a pause of its holder. It is not affected by setting the
// wall clock. The Go runtime's monotonic clock stops during suspension.
func read() Instant {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		// Linux has had it since 2.6.39; without it no lease can be trusted.
		panic("clock: CLOCK_BOOTTIME: " + err.Error())
	}
	return Instant(ts.Nano())
}
