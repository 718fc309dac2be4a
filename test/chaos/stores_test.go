package chaos

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast/holdfast/test/audit"
	"github.com/holdfast/holdfast/test/servers"
)

// size is how many nodes there are, and how many members of the store.
const size = 3

// member is one server of the store.
type member interface {
	Kill()
	Start() // waits for nothing
	Pause()
	Resume()
	PID() int
}

// store is a cluster of real storage servers.
type store struct {
	members   []member
	addresses []string // host:port of each, for clients
	// stanza is the configuration of the node with that index, which reaches the members
	// at addresses.
	stanza func(node int, addresses []string) string
	follow audit.Follower // past the links
}

// kind is a kind of store.
type kind struct {
	name  string
	start func(t *testing.T) *store
}

// kinds returns the stores that are tested, in this order.
func kinds() []kind {
	return []kind{{"consul", startConsul}, {"etcd", startEtcd}, {"zookeeper", startZooKeeper}}
}

// startConsul gives every node a server of its own to talk to, as each has an agent of its
// own where Consul is at home.
func startConsul(t *testing.T) *store {
	s := &store{stanza: func(node int, addresses []string) string {
		return fmt.Sprintf("storage \"consul\" {\n  address = %q\n}", addresses[node])
	}}
	for _, m := range servers.ConsulCluster(t, size) {
		s.members, s.addresses = append(s.members, m), append(s.addresses, m.Address)
	}
	s.follow = audit.Consul(s.addresses...)
	return s
}

func startEtcd(t *testing.T) *store {
	s := &store{stanza: func(node int, addresses []string) string {
		// sync would find the members behind the links.
		return fmt.Sprintf("storage \"etcd\" {\n  address = %q\n  sync = false\n}", strings.Join(rotated(addresses, node), ","))
	}}
	for _, m := range servers.EtcdCluster(t, size).Members {
		u, err := url.Parse(m.Address)
		if err != nil {
			t.Fatal(err)
		}
		s.members, s.addresses = append(s.members, m), append(s.addresses, u.Host)
	}
	s.follow = audit.Etcd(s.addresses...)
	return s
}

func startZooKeeper(t *testing.T) *store {
	s := &store{stanza: func(node int, addresses []string) string {
		return fmt.Sprintf("storage \"zookeeper\" {\n  address = %q\n}", strings.Join(rotated(addresses, node), ","))
	}}
	var dirs []string
	for _, m := range servers.ZooKeeperEnsemble(t, size).Members {
		s.members, s.addresses, dirs = append(s.members, m), append(s.addresses, m.Address), append(dirs, m.DataDir())
	}
	s.follow = audit.ZooKeeper(dirs...)
	return s
}

// rotated returns the addresses beginning with that of index first: the nearest to a node.
func rotated(addresses []string, first int) []string {
	return slices.Concat(addresses[first:], addresses[:first])
}
