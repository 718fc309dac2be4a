package failover

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/holdfast/holdfast/test/harness"
	"github.com/holdfast/holdfast/test/servers"
)

// store is a kind of store to measure on.
type store struct {
	name  string
	start func(b *testing.B) *members
}

func stores() []store {
	return []store{{"consul", startConsul}, {"etcd", startEtcd}, {"zookeeper", startZooKeeper}}
}

// size is how many members a store has, and how many nodes Holdfast.
const size = 3

// member is one server of a store.
type member interface {
	Kill()
	Restart()
}

// members are the servers of a store.
type members struct {
	servers   []member
	addresses []string   // that each node is given
	leader    func() int // the position of the one that leads
	start     func()     // starts all again after they were killed
}

// stanzas returns the storage stanzas of the nodes.
func (m *members) stanzas(name string) []string {
	var all []string
	for _, address := range m.addresses {
		all = append(all, fmt.Sprintf("storage %q {\n  address = %q\n}", name, address))
	}
	return all
}

func (m *members) killAll() {
	for _, s := range m.servers {
		s.Kill()
	}
}

// startConsul gives each node an agent of its own, as Consul is meant to be used.
func startConsul(b *testing.B) *members {
	cluster := servers.ConsulCluster(b, size)
	m := &members{
		leader: func() int { return consulLeader(b, cluster) },
		start:  func() { servers.RestartConsul(b, cluster) },
	}
	for _, s := range cluster {
		m.servers = append(m.servers, s)
		m.addresses = append(m.addresses, s.Address)
	}
	return m
}

func consulLeader(b *testing.B, cluster []*servers.ConsulServer) int {
	leader := -1
	harness.Eventually(b, "consul has a leader", func() error {
		if leader = slices.IndexFunc(cluster, (*servers.ConsulServer).Leads); leader < 0 {
			return errors.New("none leads")
		}
		return nil
	})
	return leader
}

func startEtcd(b *testing.B) *members {
	cluster := servers.EtcdCluster(b, size)
	m := &members{
		leader: func() int { return slices.Index(cluster.Members, cluster.Leader()) },
		start:  cluster.Restart,
	}
	for _, s := range cluster.Members {
		m.servers = append(m.servers, etcdMember{s})
		m.addresses = append(m.addresses, cluster.Address())
	}
	return m
}

// etcdMember is an etcd server as a member: without the flags that Restart may take.
type etcdMember struct{ *servers.EtcdServer }

func (m etcdMember) Restart() { m.EtcdServer.Restart() }

func startZooKeeper(b *testing.B) *members {
	cluster := servers.ZooKeeperEnsemble(b, size)
	m := &members{
		leader: func() int { return slices.Index(cluster.Members, cluster.Leader()) },
		start:  cluster.Restart,
	}
	for _, s := range cluster.Members {
		m.servers = append(m.servers, s)
		m.addresses = append(m.addresses, cluster.Address())
	}
	return m
}
