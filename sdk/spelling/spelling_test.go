package spelling

import (
	"strings"
	"testing"
)

func TestNearest(t *testing.T) {
	for _, tt := range []struct {
		name, want string
		candidates []string
	}{
		{"addrss", "address", []string{"path", "address", "token"}},
		{"pat", "path", []string{"path", "address"}},
		{"x", "a", []string{"b", "a"}}, // equally near
		{"zzzzzz", "", []string{"path", "address"}},
		{"path", "", nil},
		{strings.Repeat("a", 65), "", []string{strings.Repeat("a", 65)}},
	} {
		got, ok := Nearest(tt.name, tt.candidates)
		if got != tt.want || ok != (tt.want != "") {
			t.Errorf("%q among %q: got %q, %t, want %q", tt.name, tt.candidates, got, ok, tt.want)
		}
	}
}

func TestDistance(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"", "abc", 3}, {"address", "addrss", 1}, {"kitten", "sitting", 3}, {"path", "path", 0}} {
		if got := distance(tt.a, tt.b); got != tt.want {
			t.Errorf("%q, %q: got %d, want %d", tt.a, tt.b, got, tt.want)
		}
		if got := distance(tt.b, tt.a); got != tt.want {
			t.Errorf("%q, %q: got %d, want %d", tt.b, tt.a, got, tt.want)
		}
	}
}
