package ha

import (
	"fmt"
	"strings"
)

// willSeqs is how far the seq of a will is ahead of the record that it was made from. No
// tenure makes so many Commits (10,000 a second for 55 years), so seq never goes
// back; and a cluster can lose 10^6 nodes before seq is used up.
const willSeqs = 1 << 44

// willSuffix marks the batch id of a will. Others end in a number.
const willSuffix = ":will"

// will returns the record that ends the tenure of r's holder when it is killed. It is sealed
// while the holder lives and written by the storage plugin, on top of the last Commit, when
// the holder is certainly dead: nobody answers from memory then, so anyone may take over at
// once. At most one is ever written for an instance id, so its batch id is unique.
func (r Record) will() Record {
	r.Phase, r.Target = Released, ""
	r.Seq += willSeqs
	r.Batch = BatchID(r.Holder.ID + willSuffix)
	return r
}

// isWill reports whether b is the batch of a will. It was sealed before the last Commits of
// its tenure and says nothing about them.
func (b BatchID) isWill() bool { return strings.HasSuffix(string(b), willSuffix) }

// leaveWill makes the plugin keep the will of the tenure that has begun.
func (d *Driver) leaveWill() {
	sealed, err := d.seal(d.state.Record.will())
	if err != nil {
		d.cfg.Logger.Error("seal the last will; if this node is killed, its lease has to run out", "error", err)
		return
	}
	d.cfg.SetLastWill(RecordKey, sealed)
}

// withdrawWill takes the will back: what follows is not to be ended by it.
func (d *Driver) withdrawWill() { d.cfg.SetLastWill(RecordKey, nil) }

// ending says, for people, how the tenure that r shows came to its end for a node that took over.
func (r Record) ending() string {
	holder := r.Holder.APIAddress
	switch {
	case r.Batch.isWill():
		return fmt.Sprintf("%s was killed, and its storage plugin released the record", holder)
	case r.Phase == HandedOff:
		return fmt.Sprintf("%s handed over", holder)
	case r.Phase == Released && r.Holder.ID == "" && r.Generation > 0:
		return "an operator accepted the store as it was"
	case r.Phase == Released && r.Holder.ID == "":
		return "nobody was active before"
	case r.Phase == Released:
		return fmt.Sprintf("%s released the record", holder)
	default:
		return fmt.Sprintf("%s was silent for 1.2 times its lease of %v", holder, r.Lease)
	}
}
