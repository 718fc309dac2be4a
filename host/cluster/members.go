package cluster

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	pb "github.com/holdfast/holdfast/host/cluster/proto/holdfast/cluster/v1alpha"
	"github.com/holdfast/holdfast/host/version"
)

const (
	maxMembers          = 256
	maxMemberFieldBytes = 1024
	maxVersion          = 1 << 20
)

// Members are the standbys attached to this node: what Serve fills in and the node reads.
// Safe for concurrent use; NewMembers makes one.
type Members struct {
	mu       sync.Mutex
	attached map[string]*attachment // by instance id; guarded by mu, as are the attachments' members
	changed  chan struct{}          // guarded by mu; closed and replaced at every change but an echo
}

// attachment is one Attach stream as the active node sees it.
type attachment struct {
	instance string        // of the standby; never changes
	member   Member        // guarded by Members.mu
	notices  chan struct{} // holds one notice at most: more of them say nothing new
	replaced chan struct{} // closed when the same standby has attached anew
}

// NewMembers returns an empty registry.
func NewMembers() *Members {
	return &Members{attached: make(map[string]*attachment), changed: make(chan struct{})}
}

// Changed returns a channel that is closed when a standby attaches, leaves or says something
// new of itself.
func (m *Members) Changed() <-chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.changed
}

// change wakes those who wait for Changed. m.mu is held.
func (m *Members) change() {
	close(m.changed)
	m.changed = make(chan struct{})
}

// Members returns the attached standbys, by API address. The slice is the caller's.
func (m *Members) Members() []Member {
	m.mu.Lock()
	defer m.mu.Unlock()
	list := make([]Member, 0, len(m.attached))
	for a := range maps.Values(m.attached) {
		list = append(list, a.member)
	}
	slices.SortFunc(list, func(a, b Member) int {
		return cmp.Or(cmp.Compare(a.APIAddress, b.APIAddress), cmp.Compare(a.InstanceID, b.InstanceID))
	})
	return list
}

// Notify tells every attached standby to read the term record now. It never blocks; notices
// that were not sent yet become one.
func (m *Members) Notify() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for a := range maps.Values(m.attached) {
		a.notify()
	}
}

func (a *attachment) notify() {
	select {
	case a.notices <- struct{}{}:
	default:
	}
}

// add registers a standby. A stream it had before is replaced: the standby has given it
// up, which this node may not have noticed yet. The first notice is there at once, for
// the standby may have missed one before it attached.
func (m *Members) add(member Member) (*attachment, error) {
	member.Attached = time.Now()
	a := &attachment{
		instance: member.InstanceID,
		member:   member,
		notices:  make(chan struct{}, 1),
		replaced: make(chan struct{}),
	}
	a.notify()
	m.mu.Lock()
	defer m.mu.Unlock()
	old, ok := m.attached[a.instance]
	if !ok && len(m.attached) >= maxMembers {
		return nil, fmt.Errorf("%d standbys are attached already", maxMembers)
	}
	if ok {
		close(old.replaced)
	}
	m.attached[a.instance] = a
	m.change()
	return a, nil
}

// update records an echo, and what the standby says of itself if it said so.
func (m *Members) update(a *attachment, changed *Member) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if changed != nil {
		changed.Attached, changed.Epoch = a.member.Attached, a.member.Epoch
		a.member = *changed
		m.change()
	}
	a.member.LastEcho = time.Now()
}

// saw records of which epoch the record was that the standby saw last.
func (m *Members) saw(a *attachment, epoch uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	a.member.Epoch = epoch
}

func (m *Members) remove(a *attachment) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.attached[a.instance] == a {
		delete(m.attached, a.instance)
		m.change()
	}
}

func memberToProto(m Member) *pb.Member {
	return &pb.Member{
		InstanceId:     m.InstanceID,
		Hostname:       m.Hostname,
		ApiAddress:     m.APIAddress,
		ClusterAddress: m.ClusterAddress,
		Version:        m.Version,
		Speaks: &pb.Versions{
			Record: uint32(m.Speaks.Record), Layout: uint32(m.Speaks.Layout), Protocol: uint32(m.Speaks.Protocol),
		},
	}
}

// memberFromProto checks what a standby says of itself; instanceID is from its certificate.
func memberFromProto(p *pb.Member, instanceID string) (Member, error) {
	if p.GetInstanceId() != instanceID {
		return Member{}, fmt.Errorf("member calls itself %q, its certificate is of %s", p.GetInstanceId(), instanceID)
	}
	for _, field := range []string{p.GetHostname(), p.GetApiAddress(), p.GetClusterAddress(), p.GetVersion()} {
		if len(field) > maxMemberFieldBytes {
			return Member{}, fmt.Errorf("a member's field has %d bytes, the limit is %d", len(field), maxMemberFieldBytes)
		}
	}
	return Member{
		InstanceID:     instanceID,
		Hostname:       p.GetHostname(),
		APIAddress:     p.GetApiAddress(),
		ClusterAddress: p.GetClusterAddress(),
		Version:        p.GetVersion(),
		Speaks:         speaksFromProto(p.GetSpeaks()),
		LastEcho:       time.Now(),
	}, nil
}

// speaksFromProto bounds what a standby says, so that it fits an int everywhere.
func speaksFromProto(p *pb.Versions) version.Set {
	bound := func(n uint32) int { return int(min(n, maxVersion)) }
	return version.Set{Record: bound(p.GetRecord()), Layout: bound(p.GetLayout()), Protocol: bound(p.GetProtocol())}.OrFirst()
}
