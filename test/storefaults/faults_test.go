package storefaults

import (
	"fmt"
	"testing"

	"github.com/go-zookeeper/zk"

	"github.com/holdfast/holdfast/test/servers"
)

// fault is a row of the table: what happens, and to which stores it can.
type fault struct {
	name   string
	trials []trialOf
}

// trialOf is how to start a store and prepare the trial.
type trialOf struct {
	store string
	start func(t *testing.T) trial
}

// What happens to a store while the plugin runs: calls end with errors of the contract that
// say what to do, and when it is over all goes on, with nothing lost and no version given twice.
func TestFaults(t *testing.T) {
	for _, f := range []fault{
		{"stopped and started again", everywhere(server.Kill, server.Restart)},
		{"frozen for a while", everywhere(server.Pause, server.Resume)},
		{"restarted under load", restarted()},
		{"credentials revoked and given back", []trialOf{
			{"consul", consulRevoked}, {"etcd", etcdRevoked}, {"zookeeper", zookeeperRevoked},
		}},
		{"disk full", diskFull()},
		{"space alarm raised and disarmed", []trialOf{{"etcd", etcdFull}}},
	} {
		t.Run(f.name, func(t *testing.T) {
			for _, tr := range f.trials {
				t.Run(tr.store, func(t *testing.T) { tr.start(t).check(t) })
			}
		})
	}
}

// everywhere is a fault that every store can have.
func everywhere(inflict, relieve func(server)) (trials []trialOf) {
	for _, s := range stores() {
		trials = append(trials, trialOf{s.name, func(t *testing.T) trial {
			t.Helper()
			site := s.start(t)
			return trial{site: site, inflict: func() { inflict(site) }, relieve: func() { relieve(site) }}
		}})
	}
	return trials
}

// restarted is a fault that is over when it has been inflicted.
func restarted() (trials []trialOf) {
	for _, s := range stores() {
		trials = append(trials, trialOf{s.name, func(t *testing.T) trial {
			t.Helper()
			site := s.start(t)
			return trial{site: site, inflict: func() {
				for range 2 {
					site.Kill()
					site.Restart()
				}
			}, relieve: func() {}, brief: true}
		}})
	}
	return trials
}

// consulRules is what the documentation says that Holdfast's token needs.
const consulRules = `key_prefix "holdfast/" { policy = "write" }`

func consulRevoked(t *testing.T) trial {
	t.Helper()
	s := servers.Consul(t, servers.CheckTokens)
	s.Policy("holdfast", consulRules)
	return trial{
		site:    consulSite(s).with("token", s.Token("holdfast")),
		inflict: func() { s.Policy("holdfast", `key_prefix "holdfast/" { policy = "deny" }`) },
		relieve: func() { s.Policy("holdfast", consulRules) },
		words:   []string{`key_prefix "holdfast/" policy write`},
	}
}

const password = "password-" + secret

func etcdRevoked(t *testing.T) trial {
	t.Helper()
	c := servers.EtcdCluster(t, 1)
	c.AddUser("holdfast", password, "readwrite", "holdfast/")
	c.EnableAuth("root-" + secret)
	return trial{
		site:    etcdSite(c).with("username", "holdfast").with("password", password),
		inflict: func() { c.Ctl("user", "revoke-role", "holdfast", "holdfast") },
		relieve: func() { c.Ctl("user", "grant-role", "holdfast", "holdfast") },
		words:   []string{"lacks readwrite on everything below path"},
	}
}

func zookeeperRevoked(t *testing.T) trial {
	t.Helper()
	s := servers.ZooKeeper(t)
	acl := func(user string) []zk.ACL { return zk.DigestACL(zk.PermAll, user, password) }
	return trial{
		site:    zookeeperSite(s).with("auth_info", "digest:holdfast:"+password),
		inflict: func() { own(t, s, acl("somebody")) },
		relieve: func() { own(t, s, acl("holdfast")) },
		words:   []string{"permission denied", "auth_info", "znode_owner"},
	}
}

// own gives Holdfast's node and those below it to another owner, from the top down: nobody
// creates a node any more below one that was given away.
func own(t *testing.T, s *servers.ZooKeeperServer, acl []zk.ACL) {
	t.Helper()
	conn := zookeeperClient(t, s)
	for _, user := range []string{"holdfast", "somebody"} {
		if err := conn.AddAuth("digest", []byte(user+":"+password)); err != nil {
			t.Fatal(err)
		}
	}
	var change func(path string)
	change = func(path string) {
		if _, err := conn.SetACL(path, acl, -1); err != nil {
			t.Fatalf("change the owner of %s: %v", path, err)
		}
		children, _, err := conn.Children(path)
		if err != nil {
			t.Fatalf("list %s: %v", path, err)
		}
		for _, child := range children {
			change(path + "/" + child)
		}
	}
	change("/holdfast")
}

const quota = 16 << 20

func etcdFull(t *testing.T) trial {
	t.Helper()
	c := servers.EtcdCluster(t, 1, fmt.Sprintf("--quota-backend-bytes=%d", quota))
	return trial{
		site:      etcdSite(c),
		inflict:   c.Fill,
		relieve:   c.MakeRoom,
		words:     []string{"NOSPACE", "--quota-backend-bytes", "compact", "defrag", "alarm disarm"},
		readsGoOn: true,
	}
}
