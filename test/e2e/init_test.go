package e2e

import (
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"sync"
	"testing"

	consul "github.com/hashicorp/consul/api"
	"github.com/hashicorp/vault/api"

	"github.com/holdfast/holdfast/test/harness"
	"github.com/holdfast/holdfast/test/servers"
)

// consulStanzaAt is consulStanza with a path in the store.
func consulStanzaAt(s *servers.ConsulServer, path string) string {
	return fmt.Sprintf("storage \"consul\" {\n  address = %q\n  path = %q\n}", s.Address, path)
}

// TestConcurrentInit: of inits on several nodes at once, several on each, exactly one
// succeeds, and its keys and its token are those of the whole cluster.
func TestConcurrentInit(t *testing.T) {
	s := servers.Consul(t)
	for round := range 16 {
		t.Run(fmt.Sprintf("round %d", round), func(t *testing.T) {
			stanza := consulStanzaAt(s, fmt.Sprintf("round%d/", round))
			c := harness.NewSealed(t, 3, stanza)
			keys := raceInit(t, c.Nodes, 8)
			c.RootToken, c.UnsealKey = keys.RootToken, keys.KeysB64[0]
			for _, n := range c.Nodes {
				c.Unseal(n)
			}
			c.AwaitMembers(3)
			for _, n := range c.Nodes {
				if _, err := n.Client(c.RootToken).Auth().Token().LookupSelf(); err != nil {
					t.Errorf("the root token does not work on %s: %v", n.Name, err)
				}
				_, err := n.Client("").Sys().Init(&api.InitRequest{SecretShares: 1, SecretThreshold: 1})
				if !isRefusal(err, "already initialized") {
					t.Errorf("init of an initialized cluster on %s: got %v, want a 400 that says so", n.Name, err)
				}
			}
		})
	}
}

// raceInit sends so many inits at once and returns what the one that succeeds returns.
func raceInit(t *testing.T, nodes []*harness.Node, requests int) *api.InitResponse {
	t.Helper()
	answers, errs := make([]*api.InitResponse, requests), make([]error, requests)
	var group sync.WaitGroup
	for i := range requests {
		sys := nodes[i%len(nodes)].Client("").Sys()
		group.Go(func() { answers[i], errs[i] = sys.Init(&api.InitRequest{SecretShares: 1, SecretThreshold: 1}) })
	}
	group.Wait()
	var keys *api.InitResponse
	for i, err := range errs {
		switch {
		case err == nil && keys != nil:
			t.Fatal("two inits succeeded")
		case err == nil:
			keys = answers[i]
		case !isRefusal(err, "already initialized"):
			t.Errorf("an init failed in another way than by another one: %v", err)
		}
	}
	if keys == nil {
		t.Fatal("no init succeeded")
	}
	return keys
}

// TestInitOnForeignData: init refuses to share a part of the store with anybody, says
// with whom it would, and changes nothing.
func TestInitOnForeignData(t *testing.T) {
	s := servers.Consul(t)
	const mine = "team/secrets/"
	for _, tc := range []struct {
		name string
		path string   // of the storage stanza
		keys []string // that are there
		want string   // in the error; empty: init succeeds
	}{
		{
			name: "Vault", path: mine, want: "data of Vault or OpenBao at this path (core/keyring)",
			keys: []string{
				mine + "core/keyring", mine + "core/mounts", mine + "core/seal-config", mine + "core/lock",
				mine + "sys/policy/default", mine + "sys/token/id/abc", mine + "logical/1b4e/x", mine + "audit/2c/salt",
			},
		},
		{
			name: "Vault beside parts of Holdfast", path: mine, want: "data of Vault or OpenBao",
			keys: []string{mine + "core/keyring", mine + "hf/mounts"},
		},
		{name: "Vault before its init", path: mine, keys: []string{mine + "core/lock"}, want: `"core/"`},
		{name: "something else", path: mine, keys: []string{mine + "config/app.json"}, want: `"config/"`},
		{name: "the whole store", path: "/", keys: []string{"app"}, want: `"app"`},
		{name: "a name that is not for Holdfast", path: mine, keys: []string{mine + "100~ <new>"}, want: "100~ <new>"},
		{name: "a value where our directory goes", path: mine, keys: []string{mine + "hf"}, want: `"hf"`},
		{name: "parts of Holdfast", path: mine, keys: []string{mine + "hf/kv/0/data/a"}, want: "parts of a damaged cluster"},
		{name: "neighbours", path: mine, keys: []string{"team/secrets2/core/keyring", "team/other", "core/keyring"}},
		{name: "a directory made in Consul's web interface", path: mine, keys: []string{mine}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if _, err := consulClient(t, s).KV().DeleteTree("", nil); err != nil {
				t.Fatal(err)
			}
			for _, key := range tc.keys {
				if _, err := consulClient(t, s).KV().Put(&consul.KVPair{Key: key, Value: []byte("of " + key)}, nil); err != nil {
					t.Fatal(err)
				}
			}
			before := dump(t, s)
			n := harness.NewNode(t, "n1", consulStanzaAt(s, tc.path))
			_, err := n.Client("").Sys().Init(&api.InitRequest{SecretShares: 1, SecretThreshold: 1})
			if tc.want == "" {
				checkKept(t, before, dump(t, s))
				if err != nil {
					t.Errorf("init: %v", err)
				}
				return
			}
			if !hasStatus(err, http.StatusBadRequest) || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("init: got %v, want a 400 with %q", err, tc.want)
			}
			if after := dump(t, s); !reflect.DeepEqual(after, before) {
				t.Errorf("the store was changed: it held %q and holds %q", keysOf(before), keysOf(after))
			}
			if initialized, err := n.Client("").Sys().InitStatus(); err != nil || initialized {
				t.Errorf("initialized: got %v, %v, want false", initialized, err)
			}
		})
	}
}

// checkKept checks that all that was in the store is still there as it was.
func checkKept(t *testing.T, before, after consul.KVPairs) {
	t.Helper()
	kept := map[string]*consul.KVPair{}
	for _, p := range after {
		kept[p.Key] = p
	}
	for _, p := range before {
		if !reflect.DeepEqual(kept[p.Key], p) {
			t.Errorf("%q was changed from %+v to %+v", p.Key, p, kept[p.Key])
		}
	}
}

func keysOf(pairs consul.KVPairs) []string {
	var keys []string
	for _, p := range pairs {
		keys = append(keys, p.Key)
	}
	return keys
}
