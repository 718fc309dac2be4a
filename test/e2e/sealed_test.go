package e2e

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	consul "github.com/hashicorp/consul/api"
	"github.com/hashicorp/vault/api"

	"github.com/holdfast/holdfast/test/harness"
	"github.com/holdfast/holdfast/test/servers"
)

// What the tests hide. None of it may be found outside of the servers' memory.
const (
	secretV1       = "plaintext-of-a-version-1-secret"
	secretV2       = "plaintext-of-a-version-2-secret"
	secretOld      = "plaintext-of-an-old-version"
	secretOwner    = "custom-metadata-of-a-secret"
	secretPurpose  = "description-of-a-mount"
	wrongUnsealKey = "bm90IHRoZSBrZXkgb2YgdGhpcyBjbHVzdGVyICBhdCBh"
	wrongToken     = "hvs.this-token-is-not-of-this-cluster"
)

// TestNothingReadableInTheStore: who can read all of Consul, or the servers' logs, learns
// no secret, no token and no key.
func TestNothingReadableInTheStore(t *testing.T) {
	s := servers.Consul(t)
	c := harness.NewCluster(t, 3, consulStanza(s)+patient)
	hide(t, c)
	key, err := base64.StdEncoding.DecodeString(c.UnsealKey)
	if err != nil {
		t.Fatal(err)
	}
	secrets := map[string]string{
		"version 1 secret": secretV1, "version 2 secret": secretV2, "old version": secretOld,
		"custom metadata": secretOwner, "mount description": secretPurpose,
		"root token": c.RootToken, "unseal key": string(key), "key in the unseal key": string(key[1:]),
		"wrong token": wrongToken, "wrong unseal key": wrongUnsealKey,
	}
	records := dump(t, s)
	if !slices.ContainsFunc(records, func(p *consul.KVPair) bool { return strings.HasSuffix(p.Key, "/visible/name") }) {
		t.Error("the store does not show the names of secrets: this test looks at the wrong place")
	}
	var texts []text
	for _, p := range records {
		texts = append(texts, text{"value of " + p.Key, p.Value}, text{"name " + p.Key, []byte(p.Key)})
	}
	for _, n := range c.Nodes {
		if n.Log() == "" {
			t.Errorf("%s has logged nothing: this test looks at the wrong place", n.Name)
		}
		texts = append(texts, text{"log of " + n.Name, []byte(n.Log())}, text{"output of " + n.Name, []byte(n.Output())})
	}
	for _, x := range texts {
		for name, secret := range secrets {
			if form := findSecret(x.bytes, secret); form != "" {
				t.Errorf("%s holds the %s, as %s", x.name, name, form)
			}
		}
	}
	t.Logf("looked for %d secrets in %d records of the store and %d logs", len(secrets), len(records), 2*len(c.Nodes))
}

type text struct {
	name  string
	bytes []byte
}

// hide writes the secrets, and does what may make a server log one.
func hide(t *testing.T, c *harness.Cluster) {
	t.Helper()
	ctx, client := t.Context(), c.Standbys()[0].Client(c.RootToken)
	for mount, version := range map[string]string{"one": "1", "two": "2"} {
		input := &api.MountInput{Type: "kv", Description: secretPurpose, Options: map[string]string{"version": version}}
		if err := client.Sys().Mount(mount, input); err != nil {
			t.Fatal(err)
		}
	}
	kv := client.KVv2("two")
	if err := client.KVv1("one").Put(ctx, "visible/name", map[string]any{"value": secretV1}); err != nil {
		t.Fatal(err)
	}
	if err := kv.PutMetadata(ctx, "a", api.KVMetadataPutInput{CustomMetadata: map[string]any{"owner": secretOwner}}); err != nil {
		t.Fatal(err)
	}
	for i, value := range []string{secretOld, secretV2} {
		if _, err := kv.Put(ctx, "a", map[string]any{"value": value}, api.WithCheckAndSet(i)); err != nil {
			t.Fatal(err)
		}
	}
	// Mistakes of clients, on every node.
	for _, n := range c.Nodes {
		client := n.Client(c.RootToken)
		if _, err := client.Sys().Unseal(wrongUnsealKey); err == nil {
			t.Errorf("%s takes a wrong unseal key", n.Name)
		}
		if _, err := n.Client(wrongToken).KVv1("one").Get(ctx, "visible/name"); err == nil {
			t.Errorf("%s takes a wrong token", n.Name)
		}
		for _, body := range []string{`{"value":"` + secretV1, `{"data":["` + secretV2 + `"]}`, `{"data":{"a":"` + secretV2 + `"},"options":{"cas":7}}`} {
			if _, err := client.Logical().WriteBytesWithContext(ctx, "two/data/a", []byte(body)); err == nil {
				t.Errorf("%s takes the body of a mistaken client", n.Name)
			}
		}
	}
	c.Standbys()[0].KillPlugin()
	if err := c.Active().Client(c.RootToken).Sys().StepDown(); err != nil {
		t.Fatal(err)
	}
	c.AwaitMembers(len(c.Nodes))
}

// findSecret returns in which form text holds secret, or "".
func findSecret(text []byte, secret string) string {
	for form, encoded := range encodings(secret) {
		if bytes.Contains(text, []byte(encoded)) {
			return form
		}
	}
	return ""
}

// encodings returns what secret looks like, by the name of the form. In base64 that
// depends on how many bytes come before it.
func encodings(secret string) map[string]string {
	forms := map[string]string{
		"it is": secret, "hex": hex.EncodeToString([]byte(secret)),
		"upper case hex": strings.ToUpper(hex.EncodeToString([]byte(secret))),
	}
	for before := range 3 {
		padded := append(make([]byte, before), secret...)
		for name, encoding := range map[string]*base64.Encoding{"base64": base64.RawStdEncoding, "base64url": base64.RawURLEncoding} {
			encoded := encoding.EncodeToString(padded)
			encoded = encoded[(before*8+5)/6:] // what comes before shares bits with these
			if len(padded)%3 != 0 {
				encoded = encoded[:len(encoded)-1] // and what comes after with this one
			}
			forms[fmt.Sprintf("%s after %d bytes", name, before)] = encoded
		}
	}
	return forms
}

// TestFindSecret: the search that finds nothing in the store would find something.
func TestFindSecret(t *testing.T) {
	for before := range 5 {
		for after := range 5 {
			whole := []byte(strings.Repeat("\xff", before) + secretV1 + strings.Repeat("\xfb", after))
			for form, found := range map[string]string{
				"as it is": string(whole), "hex": hex.EncodeToString(whole), "upper case hex": fmt.Sprintf("%X", whole),
				"base64": base64.StdEncoding.EncodeToString(whole), "base64url": base64.URLEncoding.EncodeToString(whole),
			} {
				if findSecret([]byte("x"+found), secretV1) == "" {
					t.Errorf("a secret with %d bytes before and %d after is not found in %s", before, after, form)
				}
			}
		}
	}
	if form := findSecret([]byte(secretV2), secretV1); form != "" {
		t.Errorf("a secret is found, as %s, where it is not", form)
	}
}

// TestTamperedStore: a value that was altered in the store, or moved there from another
// key, is never taken for a secret. The error names the place, and nothing else suffers.
func TestTamperedStore(t *testing.T) {
	s := servers.Consul(t)
	c := harness.NewCluster(t, 3, consulStanza(s)+patient)
	c.Mount("one", "1")
	c.Mount("two", "2")
	kinds := []kind{
		{"one/v1-%s", "/data/v1-%s"},
		{"two/data/data-%s", "/data/data-%s/1"},
		{"two/metadata/meta-%s", "/meta/meta-%s"},
	}
	client := c.Active().Client(c.RootToken)
	for _, name := range []string{"good", "source", "moved", "flipped", "format", "term", "short", "empty"} {
		data := map[string]any{"value": secretV1 + name}
		if err := client.KVv1("one").Put(t.Context(), "v1-"+name, data); err != nil {
			t.Fatal(err)
		}
		for _, path := range []string{"data-" + name, "meta-" + name} {
			if _, err := client.KVv2("two").Put(t.Context(), path, data); err != nil {
				t.Fatal(err)
			}
		}
	}
	var places []place
	for _, k := range kinds {
		places = append(places, k.tamper(t, s)...)
	}

	// The next active node has nothing in memory.
	if err := c.Active().Client(c.RootToken).Sys().StepDown(); err != nil {
		t.Fatal(err)
	}
	epoch := epochOf(t, c.Active())
	for _, n := range c.Nodes {
		client := n.Client(c.RootToken)
		for _, p := range places {
			_, err := client.Logical().ReadWithContext(t.Context(), p.path)
			if !hasStatus(err, http.StatusInternalServerError) || !strings.Contains(err.Error(), p.key) || !strings.Contains(err.Error(), p.reason) {
				t.Errorf("read %s through %s: got %v, want a 500 that names %s and says %q", p.path, n.Name, err, p.key, p.reason)
			}
			if err != nil && findSecret([]byte(err.Error()), secretV1) != "" {
				t.Errorf("the error of %s shows a secret: %v", p.path, err)
			}
		}
		for _, good := range []string{"good", "source"} {
			one, err := client.KVv1("one").Get(t.Context(), "v1-"+good)
			if err != nil || one.Data["value"] != secretV1+good {
				t.Errorf("read version 1 %s through %s: %v, %v", good, n.Name, one, err)
			}
			two, err := client.KVv2("two").Get(t.Context(), "data-"+good)
			if err != nil || two.Data["value"] != secretV1+good {
				t.Errorf("read version 2 %s through %s: %v, %v", good, n.Name, two, err)
			}
		}
	}
	log := c.Active().Log()
	for _, p := range places {
		if !strings.Contains(log, p.key) {
			t.Errorf("the active node's log does not say that %s is damaged", p.key)
		}
	}
	if got := epochOf(t, c.Active()); got != epoch {
		t.Errorf("the epoch went from %v to %v: a damaged value has cost the active node its role", epoch, got)
	}
	// A new value takes the place of a damaged one.
	kv := c.Active().Client(c.RootToken).KVv1("one")
	if err := kv.Put(t.Context(), "v1-moved", map[string]any{"value": "new"}); err != nil {
		t.Errorf("write over a damaged value: %v", err)
	}
	if got, err := kv.Get(t.Context(), "v1-moved"); err != nil || got.Data["value"] != "new" {
		t.Errorf("read what was written over a damaged value: %v, %v", got, err)
	}
}

// kind is one kind of record.
type kind struct {
	path string // by which clients read it
	key  string // how its key in the store ends
}

// place is a damaged value.
type place struct {
	path   string // by which clients read it
	key    string // in the store
	reason string // that the error must give
}

// tamper damages records of the kind, each in its own way.
func (k kind) tamper(t *testing.T, s *servers.ConsulServer) []place {
	t.Helper()
	records := dump(t, s)
	find := func(name string) *consul.KVPair {
		t.Helper()
		i := slices.IndexFunc(records, func(p *consul.KVPair) bool { return strings.HasSuffix(p.Key, fmt.Sprintf(k.key, name)) })
		if i < 0 {
			t.Fatalf("the store has no record of "+k.path, name)
		}
		return records[i]
	}
	const altered = "altered"
	var places []place
	for name, damage := range map[string]struct {
		reason string
		change func(value []byte) []byte
	}{
		"moved":   {"it was altered, or moved there from another key", func([]byte) []byte { return find("source").Value }},
		"flipped": {altered, func(v []byte) []byte { v[len(v)/2] ^= 1; return v }},
		"format":  {"not in a format that this version of Holdfast reads", func(v []byte) []byte { v[0] ^= 0x80; return v }},
		"term":    {altered, func(v []byte) []byte { v[4] ^= 0x80; return v }},
		"short":   {altered, func(v []byte) []byte { return v[:len(v)-1] }},
		"empty":   {"too short", func([]byte) []byte { return nil }},
	} {
		p := find(name)
		p.Value = damage.change(p.Value)
		if _, err := consulClient(t, s).KV().Put(&consul.KVPair{Key: p.Key, Value: p.Value}, nil); err != nil {
			t.Fatal(err)
		}
		places = append(places, place{path: fmt.Sprintf(k.path, name), key: strings.TrimPrefix(p.Key, "holdfast/"), reason: damage.reason})
	}
	return places
}

func consulClient(t *testing.T, s *servers.ConsulServer) *consul.Client {
	t.Helper()
	client, err := consul.NewClient(&consul.Config{Address: s.Address})
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// dump returns all that is in the store, by key.
func dump(t *testing.T, s *servers.ConsulServer) consul.KVPairs {
	t.Helper()
	pairs, _, err := consulClient(t, s).KV().List("", &consul.QueryOptions{RequireConsistent: true})
	if err != nil {
		t.Fatal(err)
	}
	return pairs
}
