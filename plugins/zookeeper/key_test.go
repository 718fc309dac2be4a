package zookeeper

import (
	"slices"
	"strings"
	"testing"

	"github.com/holdfast/holdfast/sdk/storage"
)

func TestNodes(t *testing.T) {
	for _, test := range []struct{ key, want string }{
		{"a", "/holdfast/=a"},
		{"a/b", "/holdfast/+a/=b"},
		{"hf/kv/1/db password", "/holdfast/+hf/+kv/+1/=db password"},
		{"zookeeper/quota", "/holdfast/+zookeeper/=quota"},
		{"+a/=b", "/holdfast/++a/==b"},
		{"~/a~b", "/holdfast/+~~/=a~~b"},
		{"caf\u00e9/\u65e5\u672c", "/holdfast/+caf\u00e9/=\u65e5\u672c"},
		{"\ue000\ufffd\U0001f511", "/holdfast/=~00e000~00fffd~01f511"},
	} {
		if got := valueNode("/holdfast", test.key); got != test.want {
			t.Errorf("valueNode(%q) = %q, want %q", test.key, got, test.want)
		}
	}
	for _, test := range []struct{ root, prefix, want string }{
		{"/holdfast", "", "/holdfast"},
		{"/holdfast", "a/", "/holdfast/+a"},
		{"/a/b", "c/~/", "/a/b/+c/+~~"},
		{"", "", "/"},
		{"", "a/", "/+a"},
	} {
		if got := directoryNode(test.root, test.prefix); got != test.want {
			t.Errorf("directoryNode(%q, %q) = %q, want %q", test.root, test.prefix, got, test.want)
		}
	}
	for path, want := range map[string]string{"/a/b": "/a", "/a": "/"} {
		if got := parentOf(path); got != want {
			t.Errorf("parentOf(%q) = %q, want %q", path, got, want)
		}
	}
}

func TestListedNameRefusesOtherNodes(t *testing.T) {
	for _, child := range []string{
		"", "=", "+", "a", "zookeeper", "_key", "=~", "=~1", "=~00004", "=a~x", "=~000041", "+~00D800", "+~00d800", "=~00E000",
		"=\ue000", "=\U0001f511", "=\xff", "=~+0e000", "=~ffffff",
	} {
		if name, ok := listedName(child); ok {
			t.Errorf("listedName(%q) = %q, want none: no key has this node", child, name)
		}
	}
}

// FuzzKey: a key and its node determine each other, and no part of a node's path is one
// that ZooKeeper refuses.
func FuzzKey(f *testing.F) {
	for _, key := range []string{"a/b", "~/~~", "\ue000", "\ufffd/x", "\U0001f511", "=+", "zookeeper", "...", "~00e000", "a b"} {
		f.Add(key)
	}
	f.Fuzz(func(t *testing.T, key string) {
		// Any text is either no node's name or that of exactly one segment.
		if name, ok := listedName(key); ok {
			var b strings.Builder
			writeSegment(&b, strings.TrimSuffix(name, "/"))
			if b.String() != key[1:] {
				t.Errorf("node %q is listed as %q, whose node is %q", key, name, b.String())
			}
		}
		if storage.ValidateKey(key) != nil {
			t.Skip()
		}
		path := valueNode("", key)
		var segments []string
		for i, node := range strings.Split(path, "/")[1:] {
			name, ok := listedName(node)
			if !ok || strings.HasSuffix(name, "/") != (i < strings.Count(key, "/")) {
				t.Fatalf("node %q of key %q is listed as %q, %t", node, key, name, ok)
			}
			if node == "." || node == ".." || strings.ContainsFunc(node, func(r rune) bool { return r >= firstEscaped }) {
				t.Errorf("node %q of key %q is not one that ZooKeeper takes", node, key)
			}
			segments = append(segments, strings.TrimSuffix(name, "/"))
		}
		if got := strings.Join(segments, "/"); got != key {
			t.Errorf("key %q has the node %q, which is that of %q", key, path, got)
		}
		if got := strings.Count(path, "/"); got != strings.Count(key, "/")+1 {
			t.Errorf("key %q has the node %q", key, path)
		}
		if 3*len(path) > 7*len(key)+3*2*len(segments) {
			t.Errorf("node of %q is %d bytes long, which the limits do not allow for", key, len(path))
		}
	})
}

func FuzzVersion(f *testing.F) {
	f.Add("z1f.7")
	f.Add(newWitness() + ".0")
	f.Add("z-1.2")
	f.Fuzz(func(t *testing.T, text string) {
		if s, ok := parseVersion(storage.Version(text)); ok && string(s.version()) != text {
			t.Errorf("%q is read as %+v, which is %q", text, s, s.version())
		}
	})
}

func TestVersions(t *testing.T) {
	witness := newWitness()
	for _, s := range []state{{witness: witness}, {witness: witness, changes: 1 << 30}, {created: 0x100000002, changes: 3}} {
		v := s.version()
		if got, ok := parseVersion(v); !ok || got != s {
			t.Errorf("%+v is %q, which is read as %+v, %t", s, v, got, ok)
		}
	}
	for _, text := range []storage.Version{
		"", "x", ".1", "z.1", "z1", "z1.", "z1.-1", "z1.2147483648", "z01.1", "z1.01", "zA.1", storage.Version(witness),
		storage.Version(witness[1:]) + ".1", storage.Version(strings.ToLower(witness)) + ".1", "../../../../../../../../..1.1",
	} {
		if s, ok := parseVersion(text); ok {
			t.Errorf("version %q is read as %+v, want none", text, s)
		}
	}
}

func TestData(t *testing.T) {
	witness := newWitness()
	for _, value := range []string{"", "x", "\x02"} {
		if w, got, err := parseData(plainData([]byte(value))); err != nil || w != "" || string(got) != value {
			t.Errorf("plain %q: got %q, %q, %v", value, w, got, err)
		}
		if w, got, err := parseData(guardedData(witness, []byte(value))); err != nil || w != witness || string(got) != value {
			t.Errorf("guarded %q: got %q, %q, %v", value, w, got, err)
		}
	}
	for _, data := range [][]byte{nil, {}, {0}, {3, 1}, []byte("text"), slices.Concat([]byte{guardedHeader}, []byte(witness)[:5])} {
		if _, _, err := parseData(data); err == nil {
			t.Errorf("%q is taken for ours", data)
		}
	}
}
