package node

import (
	"time"

	"github.com/holdfast/holdfast/host/api"
	"github.com/holdfast/holdfast/host/cluster"
	pb "github.com/holdfast/holdfast/host/cluster/proto/holdfast/cluster/v1alpha"
	"github.com/holdfast/holdfast/host/version"
)

// listing is what the active node has told of the members. It does not change.
type listing struct {
	from    cluster.Target
	members []api.Member
}

// memberList returns the members for people: what this node knows if it is active, and
// else what the active one told last. It never waits.
func (s *session) memberList(st *api.Status) []api.Member {
	self := api.Member{
		Hostname: s.self.Hostname, InstanceID: s.self.InstanceID, APIAddress: s.self.APIAddress,
		ClusterAddress: s.self.ClusterAddress, Version: s.self.Version, Speaks: s.self.Speaks,
		Role: st.Role, Active: st.Role == api.RoleActive || st.Role == api.RoleSuspended, Epoch: st.Epoch,
	}
	if !self.Active {
		return s.toldMembers(self)
	}
	list := []api.Member{self}
	for _, m := range s.members.Members() {
		list = append(list, standby(m))
	}
	return list
}

// toldMembers is self, and the other members as the active node told of them last. It is
// not known to be active still if this node follows another one now, or none.
func (s *session) toldMembers(self api.Member) []api.Member {
	list := []api.Member{self}
	told := s.listed.Load()
	if told == nil {
		return list
	}
	for _, m := range told.members {
		if m.InstanceID == self.InstanceID {
			list[0].Attached, list[0].LastEcho = m.Attached, m.LastEcho
			continue
		}
		if m.Active && told.from != s.view.current.Load().active {
			m.Active, m.Role = false, api.RoleNone
		}
		list = append(list, m)
	}
	return list
}

// standby is m for people.
func standby(m cluster.Member) api.Member {
	return api.Member{
		Hostname: m.Hostname, InstanceID: m.InstanceID, APIAddress: m.APIAddress,
		ClusterAddress: m.ClusterAddress, Version: m.Version, Speaks: m.Speaks, LastEcho: m.LastEcho,
		Role: api.RoleStandby, Attached: m.Attached, Epoch: m.Epoch,
	}
}

// list returns the members for the standbys to show. This node keeps them too: they leave when
// it is no longer active.
func (s *session) list() []*pb.Listed {
	st := s.node.Status()
	if len(st.Members) > 0 && st.Members[0].Active {
		s.listed.Store(&listing{members: st.Members[1:]})
	}
	now := time.Now()
	list := make([]*pb.Listed, 0, len(st.Members))
	for _, m := range st.Members {
		listed := &pb.Listed{
			Member: &pb.Member{
				InstanceId: m.InstanceID, Hostname: m.Hostname, ApiAddress: m.APIAddress, ClusterAddress: m.ClusterAddress,
				Version: m.Version, Speaks: &pb.Versions{
					Record: uint32(m.Speaks.Record), Layout: uint32(m.Speaks.Layout), Protocol: uint32(m.Speaks.Protocol),
				},
			},
			Epoch: m.Epoch, Active: m.Active,
		}
		if !m.Active {
			listed.SilentMs, listed.AttachedMs = now.Sub(m.LastEcho).Milliseconds(), now.Sub(m.Attached).Milliseconds()
		}
		list = append(list, listed)
	}
	return list
}

// take keeps what the active node, at from, tells of the members.
func (s *session) take(from cluster.Target, list []*pb.Listed) {
	now := time.Now()
	told := &listing{from: from}
	for _, l := range list {
		m, speaks := l.GetMember(), l.GetMember().GetSpeaks()
		member := api.Member{
			Hostname: m.GetHostname(), InstanceID: m.GetInstanceId(), APIAddress: m.GetApiAddress(),
			ClusterAddress: m.GetClusterAddress(), Version: m.GetVersion(),
			Speaks: version.Set{Record: int(speaks.GetRecord()), Layout: int(speaks.GetLayout()), Protocol: int(speaks.GetProtocol())},
			Role:   api.RoleStandby, Active: l.GetActive(), Epoch: l.GetEpoch(),
		}
		if member.Active {
			member.Role = api.RoleActive
		} else {
			member.LastEcho = now.Add(-time.Duration(l.GetSilentMs()) * time.Millisecond)
			member.Attached = now.Add(-time.Duration(l.GetAttachedMs()) * time.Millisecond)
		}
		told.members = append(told.members, member)
	}
	s.listed.Store(told)
}
