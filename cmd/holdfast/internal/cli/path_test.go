package cli

import (
	"path"
	"testing"
)

func TestCleanPath(t *testing.T) {
	for _, test := range []struct{ in, want string }{
		{"secret/a", "secret/a"},
		{"/secret/a/", "secret/a"},
		{" secret/a b ", "secret/a b"},
		{"a/..b", "a/..b"},
	} {
		if got, err := cleanPath(test.in); err != nil || got != test.want {
			t.Errorf("%q: got %q, %v, want %q", test.in, got, err, test.want)
		}
	}
	for _, in := range []string{"", "/", "a//b", "a/../b", "..", "a/./b"} {
		if got, err := cleanPath(in); err == nil {
			t.Errorf("%q: got %q, want an error", in, got)
		}
	}
}

// What cleanPath accepts must reach the server as it is: the HTTP client cleans
// the path of a URL as package path does.
func FuzzCleanPath(f *testing.F) {
	for _, in := range []string{"a/b", "a/../b", "//", "a/ /b", " .. "} {
		f.Add(in)
	}
	f.Fuzz(func(t *testing.T, in string) {
		cleaned, err := cleanPath(in)
		if err != nil {
			t.Skip()
		}
		if got := path.Join("/v1", cleaned); got != "/v1/"+cleaned {
			t.Errorf("%q -> %q, which the client would send as %q", in, cleaned, got)
		}
	})
}
