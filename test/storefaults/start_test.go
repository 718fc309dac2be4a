package storefaults

import (
	"errors"
	"testing"

	"github.com/holdfast/holdfast/sdk/storage"
	"github.com/holdfast/holdfast/test/servers"
)

// A node that starts while the store is down waits for it like the others do.
func TestUnreachableAtStart(t *testing.T) {
	for _, s := range stores() {
		t.Run(s.name, func(t *testing.T) {
			site := s.start(t)
			before := &committer{store: site.open(t), name: "before"}
			before.one(t)
			site.Kill()
			opened := site.open(t)
			c := &committer{store: opened, name: "main"}
			tr := trial{site: site}
			tr.awaitErrors(t, opened, c)
			if _, err := opened.Watch(within(t), "record/main", ""); !errors.Is(err, storage.ErrUnavailable) {
				t.Errorf("watch: %v, want ErrUnavailable", err)
			}
			site.Restart()
			c.one(t)
			before.one(t)
			c.check(t)
			before.check(t)
		})
	}
}

// Wrong credentials are an error at the start, which names the options and no secret.
func TestWrongCredentialsAtStart(t *testing.T) {
	for _, row := range []struct {
		store string
		start func(t *testing.T) (right site, wrong map[string]site)
		words []string
	}{
		{"consul", consulCredentials, []string{`key_prefix "holdfast/"`, "token"}},
		{"etcd", etcdCredentials, []string{"user"}},
		{"zookeeper", zookeeperCredentials, []string{"auth_info"}},
	} {
		t.Run(row.store, func(t *testing.T) {
			right, wrong := row.start(t)
			c := &committer{store: right.open(t), name: "main"}
			c.one(t)
			for name, site := range wrong {
				_, err := site.try(t)
				if !errors.Is(err, storage.ErrUnavailable) {
					t.Errorf("%s: open gives %v, want ErrUnavailable", name, err)
				} else if unclear := site.clear(err, row.words); unclear != nil {
					t.Errorf("%s: %v", name, unclear)
				}
			}
			c.one(t)
			c.check(t)
		})
	}
}

func consulCredentials(t *testing.T) (right site, wrong map[string]site) {
	t.Helper()
	s := servers.Consul(t, servers.CheckTokens)
	s.Policy("holdfast", consulRules)
	s.Policy("reader", `key_prefix "holdfast/" { policy = "read" }`)
	s.Policy("stranger", `key_prefix "elsewhere/" { policy = "write" }`)
	anyone := consulSite(s)
	return anyone.with("token", s.Token("holdfast")), map[string]site{
		"no token":          anyone,
		"an unknown token":  anyone.with("token", "00000000-0000-0000-0000-"+secret),
		"may read only":     anyone.with("token", s.Token("reader")),
		"may write another": anyone.with("token", s.Token("stranger")),
	}
}

func etcdCredentials(t *testing.T) (right site, wrong map[string]site) {
	t.Helper()
	c := servers.EtcdCluster(t, 1)
	c.AddUser("holdfast", password, "readwrite", "holdfast/")
	c.AddUser("reader", password, "read", "holdfast/")
	c.AddUser("stranger", password, "readwrite", "elsewhere/")
	c.EnableAuth("root-" + secret)
	as := func(user, password string) site { return etcdSite(c).with("username", user).with("password", password) }
	return as("holdfast", password), map[string]site{
		"no user":           etcdSite(c),
		"an unknown user":   as("who", password),
		"a wrong password":  as("holdfast", "wrong-"+secret),
		"may read only":     as("reader", password),
		"may write another": as("stranger", password),
	}
}

func zookeeperCredentials(t *testing.T) (right site, wrong map[string]site) {
	t.Helper()
	s := servers.ZooKeeper(t)
	as := func(auth string) site { return zookeeperSite(s).with("auth_info", auth) }
	return as("digest:holdfast:" + password), map[string]site{
		"no user":           zookeeperSite(s),
		"another user":      as("digest:somebody:" + password),
		"a wrong password":  as("digest:holdfast:wrong-" + secret),
		"an unknown scheme": as("nonsense:" + secret),
	}
}

// A stanza with the names that Vault gives to the options opens the store.
func TestStanzaOfVault(t *testing.T) {
	stanzas := map[string]map[string]any{
		"consul": {
			"path": "vault", "max_parallel": "64", "consistency_mode": "strong", "session_ttl": "15s",
			"lock_wait_time": "15s", "service": "vault", "disable_registration": "true",
		},
		"etcd": {
			"path": "/vault/", "etcd_api": "v3", "sync": "true", "ha_enabled": "true", "request_timeout": "5s",
			"lock_timeout": "15s", "max_receive_size": "16777216",
		},
		"zookeeper": {
			"path": "vault/", "auth_info": "digest:vaultUser:vaultPassword", "znode_owner": "auth:vaultUser",
			"tls_enabled": "false", "tls_verify_ip": "true",
		},
	}
	for _, s := range stores() {
		t.Run(s.name, func(t *testing.T) {
			site := s.start(t)
			for option, value := range stanzas[s.name] {
				site = site.with(option, value)
			}
			c := &committer{store: site.open(t), name: "main"}
			c.one(t)
			c.check(t)
		})
	}
}
