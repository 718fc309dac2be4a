package consul

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/holdfast/holdfast/sdk/storage"
)

func TestEncodeKey(t *testing.T) {
	for _, tt := range []struct{ key, want string }{
		{"hf/kv/1/db/password", "hf/kv/1/db/password"},
		{"in the middle", "in the middle"},
		{" at the ends ", "~sat the ends~s"},
		{"dir / file", "dir / file"},
		{"100%", "100~p"},
		{"a%20b", "a~p20b"},
		{"R&D <x>", "R~aD ~lx~g"},
		{"~t", "~tt"},
		{"café/日本", "caf~w6k/~5pel~5pys"},
		{"\U0001f511", "~8J-UkQ"},
	} {
		if got := encodeKey(tt.key); got != tt.want {
			t.Errorf("encodeKey(%q) = %q, want %q", tt.key, got, tt.want)
		}
	}
}

func TestDecodeKeyRefusesOtherNames(t *testing.T) {
	for _, name := range []string{"~", "a~", "~9", "~x", "~w6", "a%20b", "a&b", " a", "a ", "a~sb", "é", "\xff", "~_w"} {
		if got, ok := decodeKey(name); ok {
			t.Errorf("decodeKey(%q) = %q, want none: encodeKey never returns it", name, got)
		}
	}
}

func FuzzKey(f *testing.F) {
	for _, key := range []string{"a/b", " a ", "%2F", "~0~", "<&>", "\u2028", "\ufffd", `"\`, "a/ b /c"} {
		f.Add(key)
	}
	f.Fuzz(func(t *testing.T, key string) {
		// Any text is either refused as a name or the only name of its key.
		if decoded, ok := decodeKey(key); ok && encodeKey(decoded) != key {
			t.Errorf("decodeKey(%q) = %q, whose name is %q", key, decoded, encodeKey(decoded))
		}
		if storage.ValidateKey(key) != nil {
			t.Skip()
		}
		name := encodeKey(key)
		if got, ok := decodeKey(name); !ok || got != key {
			t.Errorf("%q -> %q -> %q, %t", key, name, got, ok)
		}
		if strings.Count(name, "/") != strings.Count(key, "/") {
			t.Errorf("%q -> %q: other segments", key, name)
		}
		quoted, err := json.Marshal(name)
		if err != nil || len(quoted)-2 > 2*len(key) {
			t.Errorf("%q takes %d bytes in a request, want at most twice its %d (%v)", key, len(quoted)-2, len(key), err)
		}
	})
}
