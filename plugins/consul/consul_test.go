package consul

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/hashicorp/consul/api"
	"github.com/hashicorp/go-hclog"

	"github.com/holdfast/holdfast/sdk/storage"
	"github.com/holdfast/holdfast/sdk/storagetest"
	"github.com/holdfast/holdfast/test/servers"
)

// declared is a Backend that says what Open said of it.
type declared struct {
	*Backend
	capabilities storage.Capabilities
}

func (d declared) Capabilities() storage.Capabilities { return d.capabilities }

// openAt opens a Backend for a real server.
func openAt(t *testing.T, address string, change ...func(*Config)) declared {
	t.Helper()
	c := defaults()
	c.Address = address
	for _, f := range change {
		f(&c)
	}
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	b, capabilities, err := open(t.Context(), c, hclog.NewNullLogger())
	if err != nil {
		t.Fatal(err)
	}
	return declared{b, capabilities}
}

// raw returns Consul's own client, to look behind the plugin.
func raw(t *testing.T, address string) *api.KV {
	t.Helper()
	client, err := api.NewClient(&api.Config{Address: address})
	if err != nil {
		t.Fatal(err)
	}
	return client.KV()
}

// everyday are the profiles of a backend that is not looked at as a program.
var everyday = []storagetest.Profile{storagetest.Core, storagetest.Txn, storagetest.HA}

func TestContract(t *testing.T) {
	t.Parallel()
	server := servers.Consul(t)
	storagetest.Run(t, storagetest.Harness{
		Expect: everyday,
		Open: func(ctx context.Context) (storage.Backend, storage.Capabilities, error) {
			c := defaults()
			c.Address = server.Address
			return open(ctx, c, hclog.NewNullLogger())
		},
	})
}

// What only Consul can get wrong, on one server. Every subtest has a path of its
// own.
func TestConsul(t *testing.T) {
	t.Parallel()
	server := servers.Consul(t)
	for name, test := range map[string]func(t *testing.T, b declared, kv *api.KV){
		"equal guard value gets a new version":    testEqualGuardValue,
		"conflict applies nothing":                testConflict,
		"batches at the limits are taken":         testLimits,
		"keys consul would refuse":                testOddKeys,
		"directory markers and foreign names":     testForeignNames,
		"10,000 names in a directory":             testManyNames,
		"watch is not held up by a later version": testWatchVersionFromElsewhere,
		"watch of an absent key, store busy":      testWatchAbsent,
	} {
		t.Run(name, func(t *testing.T) {
			path := strings.ReplaceAll(strings.ReplaceAll(name, " ", "-"), ",", "") + "/"
			b := openAt(t, server.Address, func(c *Config) { c.Path = path })
			t.Cleanup(func() {
				if err := b.Close(); err != nil {
					t.Errorf("close: %v", err)
				}
			})
			test(t, b, raw(t, server.Address))
		})
	}
}

func mustCommit(t *testing.T, b declared, guard storage.Guard, ops ...storage.Op) storage.Version {
	t.Helper()
	v, err := b.Commit(t.Context(), guard, ops)
	if err != nil {
		t.Fatalf("commit: %v", err)
	}
	return v
}

// Consul leaves the index of an entry alone that is replaced by an equal one.
func testEqualGuardValue(t *testing.T, b declared, _ *api.KV) {
	guard := storage.Guard{Key: "guard", Value: []byte("same")}
	seen := map[storage.Version]bool{}
	for i := range 5 {
		old := guard.Version
		guard.Version = mustCommit(t, b, guard)
		if seen[guard.Version] {
			t.Fatalf("commit %d of the same value returned version %q again", i, guard.Version)
		}
		seen[guard.Version] = true
		stale := guard
		stale.Version = old
		if _, err := b.Commit(t.Context(), stale, nil); !errors.Is(err, storage.ErrConflict) {
			t.Errorf("commit %d, at the version before: %v, want ErrConflict", i, err)
		}
	}
	// Also after the guard was written without a guard, and deleted and created again.
	if err := b.Write(t.Context(), []storage.Op{storage.Put("guard", []byte("same"))}); err != nil {
		t.Fatal(err)
	}
	item, err := b.Get(t.Context(), "guard")
	if err != nil {
		t.Fatal(err)
	}
	guard.Version = item.Version
	if v := mustCommit(t, b, guard); v == guard.Version || seen[v] {
		t.Errorf("after a plain write the version %q repeats", v)
	}
	if err := b.Write(t.Context(), []storage.Op{storage.Delete("guard")}); err != nil {
		t.Fatal(err)
	}
	guard.Version = ""
	if v := mustCommit(t, b, guard); seen[v] {
		t.Errorf("after a delete the version %q repeats", v)
	}
}

func testConflict(t *testing.T, b declared, _ *api.KV) {
	v := mustCommit(t, b, storage.Guard{Key: "guard", Value: []byte("1")}, storage.Put("gone", []byte("x")))
	ops := []storage.Op{storage.Put("new", []byte("x")), storage.Delete("gone")}
	for name, guard := range map[string]storage.Guard{
		"create of what exists": {Key: "guard", Value: []byte("2")},
		"absent at a version":   {Key: "other", Version: v, Value: []byte("2")},
		"another version":       {Key: "guard", Version: v + "0", Value: []byte("2")},
		"equal value":           {Key: "guard", Value: []byte("1")},
		"same number, other text": {
			Key: "guard", Version: "0" + v, Value: []byte("2"),
		},
		"no number":   {Key: "guard", Version: "x", Value: []byte("2")},
		"index of 0":  {Key: "other", Version: "0", Value: []byte("2")},
		"over uint64": {Key: "guard", Version: "99999999999999999999", Value: []byte("2")},
	} {
		_, err := b.Commit(t.Context(), guard, ops)
		if !errors.Is(err, storage.ErrConflict) || storage.OutcomeOf(err) != storage.Unapplied {
			t.Errorf("%s: %v, want ErrConflict", name, err)
		}
	}
	if _, err := b.Get(t.Context(), "new"); !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("a refused commit wrote an op: get gives %v", err)
	}
	if _, err := b.Get(t.Context(), "gone"); err != nil {
		t.Errorf("a refused commit deleted: %v", err)
	}
	if item, err := b.Get(t.Context(), "guard"); err != nil || string(item.Value) != "1" || item.Version != v {
		t.Errorf("the guard is %q at %q, %v, want %q at %q", item.Value, item.Version, err, "1", v)
	}
}

func testLimits(t *testing.T, b declared, _ *api.KV) {
	for name, s := range shapes(b.capabilities.Limits) {
		guard := s.guard
		guard.Key = "guard/" + strings.ReplaceAll(name, " ", "-")
		guard.Key += strings.Repeat("k", max(0, len(s.guard.Key)-len(guard.Key)))
		v := mustCommit(t, b, guard, s.ops...)
		last := s.ops[len(s.ops)-1]
		if item, err := b.Get(t.Context(), last.Key); err != nil || len(item.Value) != len(last.Value) {
			t.Errorf("%s: the last op has %d bytes, %v, want %d", name, len(item.Value), err, len(last.Value))
		}
		for i := range s.ops {
			s.ops[i] = storage.Delete(s.ops[i].Key)
		}
		guard.Version = v
		mustCommit(t, b, guard, s.ops...)
	}
}

// What is over Consul's own limits is refused as too large, and nothing is applied.
func TestOverTheServersLimits(t *testing.T) {
	t.Parallel()
	server := servers.Consul(t, `limits { kv_max_value_size = 100000, txn_max_req_len = 100000 }`)
	b := openAt(t, server.Address)
	op := storage.Put("large", make([]byte, b.capabilities.Limits.MaxValueBytes))
	_, err := b.Commit(t.Context(), storage.Guard{Key: "guard"}, []storage.Op{op})
	if !errors.Is(err, storage.ErrTooLarge) || storage.OutcomeOf(err) != storage.Unapplied {
		t.Errorf("commit over kv_max_value_size: %v, want ErrTooLarge", err)
	}
	if err := b.Write(t.Context(), []storage.Op{op}); !errors.Is(err, storage.ErrTooLarge) {
		t.Errorf("write over kv_max_value_size: %v, want ErrTooLarge", err)
	}
	if _, err := b.Get(t.Context(), "guard"); !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("the guard was written: get gives %v", err)
	}
}

func TestTokens(t *testing.T) {
	t.Parallel()
	const management = "6f0a8f0c-61a5-4f0a-9d4e-2f1a0c1b7a55"
	server := servers.Consul(t, `acl {
		enabled = true
		default_policy = "deny"
		tokens { initial_management = "`+management+`" }
	}`)
	writer := aclToken(t, server.Address, management, `key_prefix "holdfast/" { policy = "write" }`)
	reader := aclToken(t, server.Address, management, `key_prefix "holdfast/" { policy = "read" }`)
	partial := aclToken(t, server.Address, management,
		`key_prefix "holdfast/" { policy = "write" } key_prefix "holdfast/kept/" { policy = "deny" }`)
	withToken := func(token string) func(*Config) { return func(c *Config) { c.Token = token } }

	for name, token := range map[string]string{"none": "", "unknown": "00000000-0000-0000-0000-00000000dead", "read only": reader} {
		c := defaults()
		c.Address, c.Token = server.Address, token
		_, _, err := open(t.Context(), c, hclog.NewNullLogger())
		if err == nil || !strings.Contains(err.Error(), `key_prefix "holdfast/"`) {
			t.Errorf("open with token %s: %v, want an error that names the policy", name, err)
		}
		if err != nil && token != "" && strings.Contains(err.Error(), token) {
			t.Errorf("the error of open shows the token: %v", err)
		}
		err = commitOne(t.Context(), backendAt(t, server.Address, withToken(token)))
		if storage.OutcomeOf(err) != storage.Unapplied || !errors.Is(err, storage.ErrUnavailable) {
			t.Errorf("commit with token %s: %v (%v), want ErrUnavailable, not applied", name, err, storage.OutcomeOf(err))
		}
	}

	b := openAt(t, server.Address, withToken(writer))
	v := mustCommit(t, b, storage.Guard{Key: "guard", Value: []byte("1")}, storage.Put("kept/x", nil), storage.Put("y", nil))
	p := openAt(t, server.Address, withToken(partial))
	ops := []storage.Op{storage.Put("y", []byte("2")), storage.Put("kept/x", []byte("2"))}
	_, err := p.Commit(t.Context(), storage.Guard{Key: "guard", Version: v, Value: []byte("2")}, ops)
	op, named := errors.AsType[*storage.OpError](err)
	if storage.OutcomeOf(err) != storage.Unapplied || errors.Is(err, storage.ErrConflict) || !named || op.Index != 1 {
		t.Errorf("commit of a forbidden op: %v (%v), want op 1 not applied", err, storage.OutcomeOf(err))
	}
	if names, err := p.List(t.Context(), "kept/", "", 0); !errors.Is(err, storage.ErrUnavailable) {
		t.Errorf("list of a forbidden directory: %q, %v, want ErrUnavailable", names, err)
	}

	r := backendAt(t, server.Address, withToken(reader))
	_, err = r.Commit(t.Context(), storage.Guard{Key: "guard", Version: v, Value: []byte("2")}, nil)
	if storage.OutcomeOf(err) != storage.Unapplied || errors.Is(err, storage.ErrConflict) {
		t.Errorf("heartbeat of a token that may only read: %v, want no conflict, not applied", err)
	}
}

// aclToken creates a token with rules and waits for nothing: a single server knows
// it at once.
func aclToken(t *testing.T, address, management, rules string) string {
	t.Helper()
	client, err := api.NewClient(&api.Config{Address: address, Token: management})
	if err != nil {
		t.Fatal(err)
	}
	var id string
	poll(t, "create a token", func(ctx context.Context) error {
		write := new(api.WriteOptions).WithContext(ctx)
		name := "test-" + strings.ToLower(strings.ReplaceAll(t.Name(), "/", "-")) + "-" + hash(rules)
		policy, _, err := client.ACL().PolicyCreate(&api.ACLPolicy{Name: name, Rules: rules}, write)
		if err != nil {
			return err
		}
		token, _, err := client.ACL().TokenCreate(&api.ACLToken{Policies: []*api.ACLLink{{ID: policy.ID}}}, write)
		if err == nil {
			id = token.SecretID
		}
		return err
	})
	return id
}
