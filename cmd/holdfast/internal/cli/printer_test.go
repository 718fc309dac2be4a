package cli

import (
	"strings"
	"testing"
)

func TestTable(t *testing.T) {
	var b strings.Builder
	p := &printer{w: &b, format: new("table")}
	p.titled("Data", map[string]any{"ключ": "v", "a": nil, "b": "", "c": true})
	want := `==== Data ====
Key     Value
---     -----
a       <nil>
b       n/a
c       true
ключ    v
`
	if got := b.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestValuesCannotSteerTheTerminal(t *testing.T) {
	var b strings.Builder
	p := &printer{w: &b, format: new("table")}
	p.fields(map[string]any{"k": "\x1b]0;title\x07\u009b2J", "pem": "one\n\ttwo"})
	if got := b.String(); strings.ContainsAny(got, "\x1b\x07\u009b") || !strings.Contains(got, `\x1b]0;title\x07\x9b2J`) || !strings.Contains(got, "one\n\ttwo") {
		t.Errorf("got %q", got)
	}
}

func TestField(t *testing.T) {
	data := map[string]any{"text": "<b>\x1b&", "list": []any{"a"}}
	for _, test := range []struct{ format, name, want string }{
		{"table", "text", "<b>\x1b&"}, // exact bytes, no line end
		{"table", "list", `["a"]`},
		{"json", "text", "\"<b>\\u001b&\"\n"},
	} {
		var b strings.Builder
		p := &printer{w: &b, format: &test.format}
		if err := p.field(data, test.name); err != nil || b.String() != test.want {
			t.Errorf("%s as %s: got %q, %v, want %q", test.name, test.format, b.String(), err, test.want)
		}
	}
	p := &printer{w: &strings.Builder{}, format: new("table")}
	if err := p.field(data, "absent"); err == nil {
		t.Error("an absent field is not an error")
	}
}
