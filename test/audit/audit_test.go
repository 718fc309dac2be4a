package audit

import (
	"encoding/base64"
	"strings"
	"testing"

	"github.com/holdfast/holdfast/host/barrier"
	"github.com/holdfast/holdfast/host/ha"
	"github.com/holdfast/holdfast/host/seal"
)

// cluster seals records as a cluster does.
type cluster struct {
	t       *testing.T
	barrier *barrier.Barrier
	keyring []byte
	unseal  string
}

func newCluster(t *testing.T) *cluster {
	t.Helper()
	rootKey, shares, err := seal.Generate(1, 1)
	if err != nil {
		t.Fatal(err)
	}
	keyring := barrier.NewKeyring("a cluster")
	sealed, err := keyring.SealWith(rootKey, keyringKey)
	if err != nil {
		t.Fatal(err)
	}
	return &cluster{t: t, barrier: barrier.New(keyring), keyring: sealed, unseal: base64.StdEncoding.EncodeToString(shares[0])}
}

// term is the term record of an epoch, sealed.
func (c *cluster) term(epoch uint64, holder string) []byte {
	c.t.Helper()
	r := ha.FirstRecord("a cluster")
	r.Epoch, r.Holder.ID = epoch, holder
	plain, err := r.Encode()
	if err != nil {
		c.t.Fatal(err)
	}
	return c.seal(ha.RecordKey, plain)
}

func (c *cluster) seal(key string, plain []byte) []byte {
	c.t.Helper()
	sealed, err := c.barrier.Seal(key, plain)
	if err != nil {
		c.t.Fatal(err)
	}
	return sealed
}

func (c *cluster) audit() *Audit {
	c.t.Helper()
	a, err := New(c.unseal)
	if err != nil {
		c.t.Fatal(err)
	}
	return a
}

// check fails if there are problems that do not contain want, or none, unless it is empty.
func check(t *testing.T, a *Audit, want string) {
	t.Helper()
	if (want == "") != (len(a.problems) == 0) {
		t.Errorf("problems: %q, want %q", a.problems, want)
	}
	for _, p := range a.problems {
		if !strings.Contains(p, want) {
			t.Errorf("problem: %q, want %q", p, want)
		}
	}
}

func TestTransactions(t *testing.T) {
	c := newCluster(t)
	type txn = map[string][]byte
	one := c.seal("hf/kv/1", []byte("x"))
	first := txn{keyringKey: c.keyring, ha.RecordKey: c.term(1, "a"), "hf/mounts": c.seal("hf/mounts", []byte("x"))}
	for name, test := range map[string]struct {
		then []txn
		want string
	}{
		"with the term record": {[]txn{{ha.RecordKey: c.term(1, "a"), "hf/kv/1": one, "hf/kv/2": nil}, {ha.RecordKey: c.term(2, "b")}}, ""},
		"of somebody else":     {[]txn{{"elsewhere": []byte("x")}}, ""},
		"without it":           {[]txn{{"hf/kv/1": one}}, "without the term record"},
		"a deletion":           {[]txn{{ha.RecordKey: nil}}, "deleted the term record"},
		"of a former active":   {[]txn{{ha.RecordKey: c.term(2, "b")}, {ha.RecordKey: c.term(1, "a"), "hf/kv/1": one}}, "epoch 1 after epoch 2"},
		"of two at once":       {[]txn{{ha.RecordKey: c.term(1, "b")}}, "the holders a and b"},
		"of another path":      {[]txn{{ha.RecordKey: c.term(1, "a"), "hf/kv/2": one}}, "hf/kv/2"},
		"of nobody":            {[]txn{{ha.RecordKey: []byte("garbage"), "hf/kv/1": one}}, ha.RecordKey},
	} {
		t.Run(name, func(t *testing.T) {
			a := c.audit()
			a.transaction("0", first)
			for _, changes := range test.then {
				a.transaction("1", changes)
			}
			check(t, a, test.want)
		})
	}
}

func TestStates(t *testing.T) {
	c := newCluster(t)
	for name, test := range map[string]struct {
		term uint64 // when it changed
		want string
	}{
		"data is older":     {9, ""},
		"data is as old":    {8, ""},
		"data is newer":     {7, "after the term record"},
		"no record is left": {0, "no term record"},
	} {
		t.Run(name, func(t *testing.T) {
			records := map[string]record{keyringKey: {c.keyring, 1}, "hf/kv/1": {c.seal("hf/kv/1", []byte("x")), 8}}
			if test.term != 0 {
				records[ha.RecordKey] = record{c.term(1, "a"), test.term}
			}
			a := c.audit()
			a.state(records)
			check(t, a, test.want)
		})
	}
}
