package process

import (
	"errors"
	"fmt"
	"time"
)

const (
	// readyTimeout is long because a busy two-core machine needs some seconds to start a
	// server.
	readyTimeout  = 60 * time.Second
	readyInterval = 20 * time.Millisecond
)

// ErrEnded means that a program ended instead of becoming ready.
var ErrEnded = errors.New("the program ended before it was ready")

// AwaitReady asks ready until it says yes. It returns ErrEnded, and how, when the program
// ends first, and kills one that is not ready within a minute.
func (p *Process) AwaitReady(ready func() bool) error {
	deadline := time.Now().Add(readyTimeout)
	tick := time.NewTicker(readyInterval)
	defer tick.Stop()
	for !ready() {
		if time.Now().After(deadline) {
			p.Kill()
			return fmt.Errorf("it is not ready within %v", readyTimeout)
		}
		select {
		case <-p.done:
			return fmt.Errorf("%w: %w", ErrEnded, p.Err())
		case <-tick.C:
		}
	}
	return nil
}
