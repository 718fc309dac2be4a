package cluster

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
	"strings"
	"testing"
)

func TestCAIsTheSameAfterMarshal(t *testing.T) {
	ca := newCA(t)
	raw, err := ca.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := ParseCA(raw)
	if err != nil {
		t.Fatal(err)
	}
	// A certificate of the parsed one is good for who knows the first only.
	cert, err := parsed.Issue("n1")
	if err != nil {
		t.Fatal(err)
	}
	_, err = cert.Leaf.Verify(x509.VerifyOptions{Roots: ca.pool(), CurrentTime: verifyAt, DNSName: nodeName})
	if err != nil {
		t.Errorf("certificate of the parsed CA: %v", err)
	}
}

func TestParseCARefuses(t *testing.T) {
	encode := func(change func(*caRecord)) []byte {
		raw, err := newCA(t).Marshal()
		if err != nil {
			t.Fatal(err)
		}
		var record caRecord
		if err := json.Unmarshal(raw, &record); err != nil {
			t.Fatal(err)
		}
		change(&record)
		raw, err = json.Marshal(record)
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	other := func() (record caRecord) {
		if err := json.Unmarshal(encode(func(*caRecord) {}), &record); err != nil {
			t.Fatal(err)
		}
		return record
	}
	leaf, err := newCA(t).Issue("n1")
	if err != nil {
		t.Fatal(err)
	}
	leafKey, err := x509.MarshalPKCS8PrivateKey(leaf.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		raw  []byte
		want string
	}{
		"nothing":         {nil, "not a JSON object"},
		"newer version":   {[]byte(`{"version":2,"key":"x"}`), "run a newer one"},
		"unknown field":   {[]byte(`{"version":1,"extra":1}`), "not a version 1 record"},
		"trailing data":   {[]byte(`{"version":1} {}`), "not a JSON object"},
		"no certificate":  {encode(func(r *caRecord) { r.Certificate = nil }), "certificate"},
		"no key":          {encode(func(r *caRecord) { r.Key = nil }), "key"},
		"another's key":   {encode(func(r *caRecord) { r.Key = other().Key }), "do not belong together"},
		"not a CA's pair": {encode(func(r *caRecord) { r.Key, r.Certificate = leafKey, leaf.Leaf.Raw }), "not a self-signed CA"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ParseCA(tc.raw)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want an error with %q", err, tc.want)
			}
		})
	}
}

func TestIssueNamesTheInstance(t *testing.T) {
	ca := newCA(t)
	cert, err := ca.Issue("3f2a_B-9")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := certificateInstance(cert.Leaf); err != nil || got != "3f2a_B-9" {
		t.Errorf("got %q, %v", got, err)
	}
	for _, id := range []string{"", "a/b", "a b", "a.b", "a\n", "é", strings.Repeat("x", 65)} {
		if _, err := ca.Issue(id); err == nil {
			t.Errorf("instance id %q was taken", id)
		}
	}
}

func FuzzParseCA(f *testing.F) {
	ca, err := NewCA()
	if err != nil {
		f.Fatal(err)
	}
	raw, err := ca.Marshal()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Add([]byte(`{"version":1,"certificate":"","key":""}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		ca, err := ParseCA(raw)
		if err != nil {
			t.Skip()
		}
		first, err := ca.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		again, err := ParseCA(first)
		if err != nil {
			t.Fatalf("what Marshal wrote does not parse: %v", err)
		}
		second, err := again.Marshal()
		if err != nil || !bytes.Equal(first, second) {
			t.Errorf("round trip changed the CA (%v)", err)
		}
	})
}

func FuzzParseTarget(f *testing.F) {
	for _, s := range []string{"https://10.0.0.5:8201", "https://[::1]:8201/", "https://node-1.example:1", "http://a:1", "https://a", "https://a:1/x", "https://u@a:1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, address string) {
		target, err := ParseTarget(address, "n1")
		if err != nil {
			t.Skip()
		}
		again, err := ParseTarget("https://"+target.Addr, "n1")
		if err != nil || again != target {
			t.Errorf("%q -> %+v -> %+v, %v", address, target, again, err)
		}
	})
}

func TestParseTarget(t *testing.T) {
	for address, want := range map[string]string{
		"https://10.0.0.5:8201":   "10.0.0.5:8201",
		"https://[fd00::1]:8201/": "[fd00::1]:8201",
		"http://10.0.0.5:8201":    "",
		"10.0.0.5:8201":           "",
		"https://10.0.0.5":        "",
		"https://h:8201/v1":       "",
		"https://h:8201?x":        "",
	} {
		got, err := ParseTarget(address, "")
		if got.Addr != want || (err == nil) != (want != "") {
			t.Errorf("%s: got %q, %v; want %q", address, got.Addr, err, want)
		}
	}
	if _, err := ParseTarget("https://h:1", "a/b"); err == nil {
		t.Error("an invalid instance id was taken")
	}
}
