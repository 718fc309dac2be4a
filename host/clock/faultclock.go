//go:build faultclock

package clock

import (
	"fmt"
	"os"
	"sync"
	"time"
)

// This build is for tests only: its clock is as wrong as the file that FileVariable names
// says. The file holds two words, the rate of the clock and how far it is put forward, such
// as "1.1 0s". It may change at any time. Without the variable the clock is right.

// FileVariable is the environment variable that names the file.
const FileVariable = "HOLDFAST_TEST_CLOCK"

// rereadAfter is how soon a change of the file is noticed.
const rereadAfter = 10 * time.Millisecond

var wrong = &wrongClock{path: os.Getenv(FileVariable), rate: 1}

// Now reads the wrong clock.
func Now() Instant {
	now := read()
	if wrong.path == "" {
		return now
	}
	return wrong.show(now)
}

// wrongClock runs at another rate than the clock it is read from.
type wrongClock struct {
	path string

	mu       sync.Mutex
	looked   Instant // at the file; on the right clock, as since
	since    Instant // it runs at rate
	shown    Instant // then
	rate     float64
	forward  time.Duration
	anything bool // was shown so far
}

// show returns what the clock shows when the right one shows now.
func (c *wrongClock) show(now Instant) Instant {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.anything {
		c.anything, c.since, c.shown = true, now, now
	}
	if c.looked == 0 || now.Sub(c.looked) >= rereadAfter {
		c.looked = now
		c.look(now)
	}
	return c.at(now)
}

func (c *wrongClock) at(now Instant) Instant {
	return c.shown.Add(time.Duration(float64(now.Sub(c.since)) * c.rate))
}

// look reads the file. What it shows changes only from now on.
func (c *wrongClock) look(now Instant) {
	text, err := os.ReadFile(c.path)
	if err != nil {
		return // there may be no descriptor left: the clock goes on as it did
	}
	var rate float64
	var word string
	if _, err := fmt.Sscan(string(text), &rate, &word); err != nil {
		panic(fmt.Sprintf("clock: %s holds %q: %v", c.path, text, err))
	}
	forward, err := time.ParseDuration(word)
	if err != nil {
		panic("clock: " + err.Error())
	}
	c.shown = c.at(now).Add(forward - c.forward)
	c.since, c.rate, c.forward = now, rate, forward
}
