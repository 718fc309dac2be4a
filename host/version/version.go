// Package version has the numbers of what the nodes of a cluster share: the format of the
// term record, the layout of the store and the protocol between nodes.
//
// A release speaks what the release before it writes, so two adjacent ones run in one
// cluster. It writes something new only once every member of the cluster has said that
// it speaks it; up to then any node can go back to the release before.
package version

// Set is one number of each. They begin at 1; 0 means that it was not said.
type Set struct {
	Record   int `json:"record"`
	Layout   int `json:"layout"`
	Protocol int `json:"protocol"`
}

// Spoken returns the newest that this build speaks.
func Spoken() Set { return Set{Record: Record, Layout: Layout, Protocol: Protocol} }

// OrFirst returns s with 1 for what it does not say.
func (s Set) OrFirst() Set {
	return Set{Record: max(1, s.Record), Layout: max(1, s.Layout), Protocol: max(1, s.Protocol)}
}

// Common returns the newest that both speak.
func (s Set) Common(other Set) Set {
	return Set{
		Record: min(s.Record, other.Record), Layout: min(s.Layout, other.Layout), Protocol: min(s.Protocol, other.Protocol),
	}
}

// Talks reports whether nodes that speak protocol up to s's and up to other's can talk to
// each other: at most one release lies between them.
func (s Set) Talks(other Set) bool {
	return max(s.Protocol, other.Protocol)-min(s.Protocol, other.Protocol) <= 1
}
