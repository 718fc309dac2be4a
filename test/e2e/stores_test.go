package e2e

import (
	"fmt"
	"testing"

	"github.com/holdfast/holdfast/test/audit"
	"github.com/holdfast/holdfast/test/servers"
)

// store is a real storage server that a test takes away and brings back.
type store interface {
	Kill()
	Restart()
	Pause()
	Resume()
}

// backend is a kind of store, with the plugin for it. What holds on one must hold on all.
type backend struct {
	name   string
	start  func(t *testing.T) (s store, stanza string)
	follow func(s store) audit.Follower // for an audit of the store itself
}

// backends is the table of all stores with high availability that have a server.
func backends() []backend {
	return []backend{
		{"consul", func(t *testing.T) (store, string) {
			s := servers.Consul(t)
			return s, consulStanza(s)
		}, func(s store) audit.Follower { return audit.Consul(s.(*servers.ConsulServer).Address) }},
		{"etcd", func(t *testing.T) (store, string) {
			s := servers.Etcd(t)
			return etcdStore{s}, fmt.Sprintf("storage \"etcd\" {\n  address = %q\n}", s.Address)
		}, func(s store) audit.Follower { return audit.Etcd(s.(etcdStore).Address) }},
		{"zookeeper", func(t *testing.T) (store, string) {
			s := servers.ZooKeeper(t)
			return s, fmt.Sprintf("storage \"zookeeper\" {\n  address = %q\n}", s.Address)
		}, func(s store) audit.Follower { return audit.ZooKeeper(s.(*servers.ZooKeeperServer).DataDir()) }},
	}
}

// etcdStore is an etcd server as a store: without the flags that Restart may take.
type etcdStore struct{ *servers.EtcdServer }

func (s etcdStore) Restart() { s.EtcdServer.Restart() }

// What a test adds to the storage stanza. The defaults are for failovers by silence: 2.4 s
// without a Commit, which a busy machine takes now and then, end the term of a healthy node.
const (
	// steady is for tests that want the active node to stay: only 12 s of silence depose it.
	steady = "\nha {\n  lease = \"10s\"\n}\n"
	// patient is for tests that want no request to fail: besides, requests are held for as long
	// as a busy machine takes for a hand-over.
	patient = "\nha {\n  lease = \"10s\"\n  hold = \"25s\"\n}\n"
)

// onEveryStore runs test on each store, started anew.
func onEveryStore(t *testing.T, test func(t *testing.T, b backend)) {
	for _, b := range backends() {
		t.Run(b.name, func(t *testing.T) { test(t, b) })
	}
}

// consulStanza is the storage stanza for a Consul server.
func consulStanza(s *servers.ConsulServer) string {
	return fmt.Sprintf("storage \"consul\" {\n  address = %q\n}", s.Address)
}
