package ha

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/holdfast/holdfast/host/version"
)

// ErrNewerFormat means that a newer release of Holdfast has written the record. The node
// stays standby, and does not take over; the error that wraps it says what to do.
var ErrNewerFormat = errors.New("upgrade this node")

// checkFormat refuses a record, or a store, that is too new for this build. It looks only
// at what records of all formats have.
func checkFormat(plain []byte) error {
	var head struct {
		Format int  `json:"format"`
		Layout int  `json:"layout"`
		Holder Node `json:"holder"`
	}
	if err := json.Unmarshal(plain, &head); err != nil {
		return fmt.Errorf("decode the term record: %w", err)
	}
	newest := version.Spoken()
	switch {
	case head.Format > newest.Record:
		return tooNew("the term record", head.Format, newest.Record, head.Holder)
	case head.Layout > newest.Layout:
		return tooNew("the layout of the store", head.Layout, newest.Layout, head.Holder)
	case head.Format < firstFormat:
		return fmt.Errorf("decode the term record: there is no format %d", head.Format)
	}
	return nil
}

func tooNew(what string, found, newest int, writer Node) error {
	release := "a newer release"
	if writer.Release != "" {
		release = "release " + writer.Release
	}
	return fmt.Errorf("%s has version %d and this node knows versions up to %d: %w; %s at %s wrote it",
		what, found, newest, ErrNewerFormat, release, writer.APIAddress)
}

// Agreed is the event that the members of the cluster all speak what it says. The active
// node writes its record in that way from then on.
type Agreed struct{ Speak version.Set }

// Agree tells the Driver what all members speak. It matters only while this node is active,
// and only until it no longer is.
func (d *Driver) Agree(ctx context.Context, speak version.Set) {
	select {
	case d.events <- received{event: Agreed{Speak: speak}}:
	case <-d.ended:
	case <-ctx.Done():
	}
}

// Agree does nothing: nobody else reads the store.
func (u *Unfenced) Agree(context.Context, version.Set) {}

// raised returns r with what all members speak named in it, if they speak a record that can
// name it. Nothing is ever lowered.
func (r Record) raised(to version.Set) Record {
	if to.Record >= namedFormat {
		r.Layout, r.Protocol = max(r.Layout, to.Layout), max(r.Protocol, to.Protocol)
	}
	return r
}

// RaisedBy reports whether r would be written in another way if all members spoke to.
func (r Record) RaisedBy(to version.Set) bool { return r.raised(to) != r }

// InForce returns what the cluster uses, as far as r says.
func (r Record) InForce() version.Set {
	return version.Set{Record: r.formatted().Format, Layout: r.Layout, Protocol: r.Protocol}.OrFirst()
}
