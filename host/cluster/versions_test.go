package cluster

import (
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/holdfast/holdfast/host/version"
)

// Nodes of adjacent releases talk to each other; others are told which one is too old.
func TestProtocolVersions(t *testing.T) {
	for name, test := range map[string]struct {
		active, standby int
		refused         bool
	}{
		"the same":                    {active: 3, standby: 3},
		"an older standby":            {active: 3, standby: 2},
		"an older active node":        {active: 2, standby: 3},
		"a standby too old":           {active: 3, standby: 1, refused: true},
		"an active node too old":      {active: 1, standby: 3, refused: true},
		"a standby that does not say": {active: 2, standby: 0},
	} {
		t.Run(name, func(t *testing.T) {
			ca := newCA(t)
			server := startServer(t, ca, "active", answerOK, func(cfg *ServerConfig) {
				cfg.Speaks = version.Set{Record: 1, Layout: 1, Protocol: test.active}
			})
			self := memberOf("a")
			self.Speaks = version.Set{Record: 7, Layout: 8, Protocol: test.standby}
			s := attach(t, newDialer(t, ca, "a"), server.target, self)
			if test.refused {
				err := <-s.done
				if status.Code(err) != codes.FailedPrecondition || !strings.Contains(err.Error(), "upgrade the older of the two") {
					t.Errorf("Attach = %v", err)
				}
				return
			}
			eventually(t, "it is a member", func() bool { return len(server.members.Members()) == 1 })
			want := version.Set{Record: 7, Layout: 8, Protocol: max(1, test.standby)}
			if got := server.members.Members()[0].Speaks; got != want {
				t.Errorf("the member speaks %+v, want %+v", got, want)
			}
		})
	}
}

func TestMembersTellOfChanges(t *testing.T) {
	m := NewMembers()
	changed := func(before <-chan struct{}) bool {
		select {
		case <-before:
			return true
		default:
			return false
		}
	}
	before := m.Changed()
	a, err := m.add(memberOf("a"))
	if err != nil || !changed(before) {
		t.Errorf("a standby attached: changed = false, %v", err)
	}
	before = m.Changed()
	if m.update(a, nil); changed(before) {
		t.Error("an echo is no change")
	}
	other := memberOf("a")
	other.Speaks.Record++
	if m.update(a, &other); !changed(before) {
		t.Error("it says something new of itself: changed = false")
	}
	before = m.Changed()
	if m.remove(a); !changed(before) {
		t.Error("it left: changed = false")
	}
}
