package ha

import (
	"context"

	"github.com/holdfast/holdfast/host/clock"
	"github.com/holdfast/holdfast/sdk/storage"
)

// A store may answer reads and refuse writes (etcd when it is full). Then the record is
// silent though its holder is well, and reads do not tell. So a standby whose take-over
// was refused counts silence from the moment when the store is known to take writes again:
// the holder, which tries much more often, goes on in its term (P6).

// writeCheckKey names what is never in the store: a Commit guarded by a state of it always
// is a conflict, and changes nothing. A store that takes no writes refuses it.
const writeCheckKey = "hf/write-check"

// writeCheck is what a standby knows of whether the store takes writes.
type writeCheck struct {
	Refused bool          // the take-over of a record that another node holds, and every check since
	Asking  bool          // a CheckWrites is under way
	Asked   clock.Instant // when it, or the one before, began
}

type (
	// CheckWrites asks whether the store takes writes. The answer is WritesChecked.
	CheckWrites struct{}
	// WritesChecked says whether it does.
	WritesChecked struct{ Taken bool }
)

// checkWritesAt returns when to ask whether the store takes writes; ok is false if that is
// not in question.
func (s *State) checkWritesAt() (at clock.Instant, ok bool) {
	return s.Writes.Asked.Add(s.Timing.Beat), s.Known && s.Writes.Refused && !s.Writes.Asking
}

// writesChecked takes in the answer to a CheckWrites.
func (s *State) writesChecked(e WritesChecked, now clock.Instant) {
	s.Writes.Asking = false
	if e.Taken && s.Writes.Refused {
		s.Writes.Refused, s.Changed = false, now
	}
}

// checkWrites asks the store. Whatever it answers, other than that it is not available, it
// would have answered to a take-over.
func (d *Driver) checkWrites(ctx context.Context, version storage.Version) received {
	cctx, cancel := context.WithTimeout(ctx, d.timeout())
	defer cancel()
	_, err := d.cfg.Backend.Commit(cctx, storage.Guard{Key: writeCheckKey, Version: version}, nil)
	return received{event: WritesChecked{Taken: !unanswered(err)}}
}
