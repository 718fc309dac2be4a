// Package conformance runs the conformance suite and the differential test on the bundled
// plugins: their real binaries, on real servers.
package conformance

import (
	"errors"
	"testing"

	consul "github.com/hashicorp/consul/api"

	"github.com/holdfast/holdfast/test/harness"
	"github.com/holdfast/holdfast/test/servers"
)

func TestMain(m *testing.M) { harness.Main(m) }

// A store is a plugin and the servers behind it.
type store struct {
	name string
	// kind is where its data lives, as the suite calls it.
	kind string
	// elsewhere is the flag that means another set of data, whose name begins like the one used.
	elsewhere string
	// link is the flag that says where to put a proxy; empty: there is no connection that could break.
	link string
	// single starts one server and returns the plugin's configuration.
	single func(t *testing.T) map[string]string
	// members starts three servers; nil: there are none. killLeader makes the others elect
	// another leader; what was killed comes back.
	members func(t *testing.T) (config map[string]string, killLeader func())
}

// stores are all bundled plugins.
func stores() []store {
	return []store{
		{
			name: "inmem", kind: "process", elsewhere: "-elsewhere=name=default2",
			single: func(*testing.T) map[string]string { return nil },
		},
		{
			name: "consul", kind: "shared", elsewhere: "-elsewhere=path=conformance2/", link: "-link=address",
			single: func(t *testing.T) map[string]string {
				t.Helper()
				return map[string]string{"address": servers.Consul(t).Address, "path": "conformance"}
			},
			members: consulMembers,
		},
		{
			name: "etcd", kind: "shared", elsewhere: "-elsewhere=path=conformance2/", link: "-link=address,sync=false",
			single: func(t *testing.T) map[string]string {
				t.Helper()
				return map[string]string{"address": servers.Etcd(t).Address, "path": "conformance"}
			},
			members: func(t *testing.T) (map[string]string, func()) {
				t.Helper()
				cluster := servers.EtcdCluster(t, 3)
				return map[string]string{"address": cluster.Address()}, func() {
					leader := cluster.Leader()
					leader.Kill()
					leader.Restart()
				}
			},
		},
		{
			name: "zookeeper", kind: "shared", elsewhere: "-elsewhere=path=conformance2/", link: "-link=address",
			single: func(t *testing.T) map[string]string {
				t.Helper()
				// By default the plugin leaves a server that is silent for 1.3 s, and here is no other.
				return map[string]string{"address": servers.ZooKeeper(t).Address, "path": "conformance", "session_timeout": "30s"}
			},
			members: func(t *testing.T) (map[string]string, func()) {
				t.Helper()
				ensemble := servers.ZooKeeperEnsemble(t, 3)
				return map[string]string{"address": ensemble.Address()}, func() {
					leader := ensemble.Leader()
					leader.Kill()
					leader.Restart()
				}
			},
		},
	}
}

// consulMembers starts three servers, of which the plugin talks to the first, as to the
// agent of its machine. That one never dies: if it leads, it hands over first.
func consulMembers(t *testing.T) (config map[string]string, killLeader func()) {
	t.Helper()
	members := servers.ConsulCluster(t, 3)
	client, err := consul.NewClient(&consul.Config{Address: members[0].Address})
	if err != nil {
		t.Fatal(err)
	}
	return map[string]string{"address": members[0].Address}, func() {
		harness.Eventually(t, "another member than the first leads and dies", func() error {
			if members[0].Leads() {
				if _, err := client.Operator().RaftLeaderTransfer("", nil); err != nil {
					return err
				}
			}
			for _, m := range members[1:] {
				if m.Leads() {
					m.Kill()
					m.Restart()
					return nil
				}
			}
			return errors.New("none of them leads yet")
		})
	}
}
