package e2e

import (
	"fmt"
	"testing"

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
	name  string
	start func(t *testing.T) (s store, stanza string)
	// states returns how to look at all states of the store that can be seen at one
	// moment each; nil if the store has no such look.
	states func(t *testing.T, s store) states
}

// backends is the table of all stores with high availability that have a server.
func backends() []backend {
	return []backend{
		{"consul", func(t *testing.T) (store, string) {
			s := servers.Consul(t)
			return s, consulStanza(s)
		}, consulStates},
		{"etcd", func(t *testing.T) (store, string) {
			s := servers.Etcd(t)
			return etcdStore{s}, fmt.Sprintf("storage \"etcd\" {\n  address = %q\n}", s.Address)
		}, etcdStates},
		{"zookeeper", func(t *testing.T) (store, string) {
			s := servers.ZooKeeper(t)
			return s, fmt.Sprintf("storage \"zookeeper\" {\n  address = %q\n}", s.Address)
		}, nil},
	}
}

// etcdStore is an etcd server as a store: without the flags that Restart may take.
type etcdStore struct{ *servers.EtcdServer }

func (s etcdStore) Restart() { s.EtcdServer.Restart() }

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
