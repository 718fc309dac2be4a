package ha

import "testing"

// A will is sealed when the tenure begins and written when it ends: it follows
// whatever was committed in between, and comes before all that a successor commits.
func TestWillRanksAboveItsEpoch(t *testing.T) {
	start := held()
	last := start
	last.Seq += 1_000_000
	will := start.will()
	if will.sighting().Lacks(last.sighting()) || !last.sighting().Lacks(will.sighting()) {
		t.Errorf("a will (%v) does not follow a later record of its epoch (%v)", will.sighting(), last.sighting())
	}
	successor := will
	successor.Epoch, successor.Seq, successor.Phase, successor.Before = will.Epoch+1, will.Seq+1, Held, will.Batch
	if successor.sighting().Lacks(will.sighting()) || successor.Seq <= last.Seq {
		t.Errorf("the successor (%v) does not follow the will (%v)", successor.sighting(), will.sighting())
	}
	if got, err := DecodeRecord(encoded(t, will)); err != nil || got != will {
		t.Errorf("decode(encode(%+v)) = %+v, %v", will, got, err)
	}
	if will.Epoch != start.Epoch || will.Phase != Released || will.Before != start.Before || will.Holder != start.Holder {
		t.Errorf("will %+v of %+v", will, start)
	}
}

// Whether the last batch before a will was applied can not be told from its successor: the
// will took the place of that batch's id.
func TestNothingIsToldOfTheBatchBeforeAWill(t *testing.T) {
	carry := held()
	attempt := Attempt{Kind: Carry, Record: carry}
	successor := Record{Epoch: carry.Epoch + 1, Before: carry.Batch}
	if got := fate(attempt, successor); got != Applied {
		t.Fatalf("without a will: %v, want applied", got)
	}
	successor.Before = carry.will().Batch
	if got := fate(attempt, successor); got != Doubtful {
		t.Errorf("after a will: %v, want doubtful", got)
	}
	if carry.Batch.isWill() || !carry.will().Batch.isWill() {
		t.Errorf("batch %q is taken for a will, or %q is not", carry.Batch, carry.will().Batch)
	}
}
