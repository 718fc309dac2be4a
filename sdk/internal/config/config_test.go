package config

import (
	"encoding/json"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

type tlsOptions struct {
	CA string `config:"tls_ca_file" desc:"certificates to trust"`
}

type options struct {
	tlsOptions2

	Address  string        `config:"address" desc:"where the store is" required:"true"`
	Token    string        `config:"token" desc:"access token" secret:"true"`
	PIN      int           `config:"pin" secret:"true"`
	Verify   bool          `config:"verify"`
	Parallel int           `config:"max_parallel"`
	Small    uint8         `config:"small"`
	Timeout  time.Duration `config:"timeout"`
	Servers  []string      `config:"servers"`
	internal int
}

// tlsOptions2 is embedded, and embeds, to show that depth does not matter.
type tlsOptions2 struct{ tlsOptions }

func (o *options) Validate() error {
	if o.Address == "nowhere" {
		return errors.New(`option "address" is nowhere`)
	}
	return nil
}

func defaults() options {
	return options{Address: "127.0.0.1:8500", Verify: true, Parallel: 128, Timeout: 15 * time.Second, Token: "default-secret", internal: 7}
}

func decode(t *testing.T, text string) (options, error) {
	t.Helper()
	schema, err := NewSchema(defaults())
	if err != nil {
		t.Fatalf("schema: %v", err)
	}
	stanza, err := ParseStanza([]byte(text))
	if err != nil {
		t.Fatalf("parse %s: %v", text, err)
	}
	var got options
	err = schema.Decode(stanza, &got)
	return got, err
}

func TestDecodeAcceptsWhatConfigFilesSay(t *testing.T) {
	tests := []struct {
		text string
		want func(*options)
	}{
		{``, func(*options) {}},
		{`{}`, func(*options) {}},
		{`{"address": null}`, func(*options) {}},
		{`{"address": "a:1", "token": "t", "tls_ca_file": "ca.pem"}`, func(o *options) { o.Address, o.Token, o.CA = "a:1", "t", "ca.pem" }},
		{`{"address": 8500}`, func(o *options) { o.Address = "8500" }},
		{`{"verify": false}`, func(o *options) { o.Verify = false }},
		{`{"verify": "false"}`, func(o *options) { o.Verify = false }},
		{`{"verify": 0}`, func(o *options) { o.Verify = false }},
		{`{"max_parallel": 8}`, func(o *options) { o.Parallel = 8 }},
		{`{"max_parallel": "8"}`, func(o *options) { o.Parallel = 8 }},
		{`{"small": 255}`, func(o *options) { o.Small = 255 }},
		{`{"timeout": "500ms"}`, func(o *options) { o.Timeout = 500 * time.Millisecond }},
		{`{"timeout": 20}`, func(o *options) { o.Timeout = 20 * time.Second }},
		{`{"timeout": "20"}`, func(o *options) { o.Timeout = 20 * time.Second }},
		{`{"timeout": 0.5}`, func(o *options) { o.Timeout = 500 * time.Millisecond }},
		{`{"servers": ["a", "b,c", 1]}`, func(o *options) { o.Servers = []string{"a", "b,c", "1"} }},
		{`{"servers": "a, b,,c "}`, func(o *options) { o.Servers = []string{"a", "b", "c"} }},
	}
	for _, test := range tests {
		want := defaults()
		test.want(&want)
		if got, err := decode(t, test.text); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v, %v, want %+v", test.text, got, err, want)
		}
	}
}

func TestDecodeNamesEveryProblemAtOnce(t *testing.T) {
	_, err := decode(t, `{
		"addrss": "x", "zzz": 1, "address": "", "verify": "maybe", "max_parallel": 1.5, "small": 256,
		"timeout": "soon", "servers": {"a": 1}, "token": ["hidden-a"], "pin": "hidden-b"}`)
	if err == nil {
		t.Fatal("got no error")
	}
	want := []string{
		`option "addrss" is unknown, did you mean "address"?`,
		`option "address" is required: where the store is`,
		`option "max_parallel": want a whole number in range, got 1.5`,
		`option "pin": want a whole number in range`,
		`option "servers": want a list, or a text with commas, got {"a": 1}`,
		`option "small": want a whole number in range, not negative, got 256`,
		`option "timeout": want a duration such as "15s", or a number of seconds, got "soon"`,
		`option "token": want a single value`,
		`option "verify": want true or false, got "maybe"`,
		`option "zzz" is unknown`,
	}
	got := strings.Split(err.Error(), "\n")
	for _, line := range want {
		found := false
		for _, g := range got {
			found = found || g == line
		}
		if !found {
			t.Errorf("no line %q in:\n%v", line, err)
		}
	}
	if len(got) != len(want) {
		t.Errorf("got %d lines, want %d:\n%v", len(got), len(want), err)
	}
	if strings.Contains(err.Error(), "hidden") {
		t.Errorf("a secret is in the error: %v", err)
	}
	if _, err := decode(t, `{"address": "nowhere"}`); err == nil || err.Error() != `option "address" is nowhere` {
		t.Errorf("Validate: got %v, want its error", err)
	}
}

func TestSchemaDescribesTheStruct(t *testing.T) {
	schema, err := NewSchema(defaults())
	if err != nil {
		t.Fatalf("schema: %v", err)
	}
	want := []Option{
		{Name: "tls_ca_file", Type: "string", Description: "certificates to trust"},
		{Name: "address", Type: "string", Default: "127.0.0.1:8500", Description: "where the store is", Required: true},
		{Name: "token", Type: "string", Description: "access token", Secret: true},
		{Name: "pin", Type: "int", Secret: true},
		{Name: "verify", Type: "bool", Default: "true"},
		{Name: "max_parallel", Type: "int", Default: "128"},
		{Name: "small", Type: "int"},
		{Name: "timeout", Type: "duration", Default: "15s"},
		{Name: "servers", Type: "list"},
	}
	if got := schema.Options(); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestSchemaRefusesAuthorsMistakes(t *testing.T) {
	for name, v := range map[string]any{
		"not a struct": 1,
		"twice": struct {
			A string `config:"a"`
			B string `config:"a"`
		}{},
		"no name": struct {
			A string `config:""`
		}{},
		"a map": struct {
			A map[string]string `config:"a"`
		}{},
		"a float": struct {
			A float64 `config:"a"`
		}{},
		"private": struct {
			a string `config:"a"`
		}{},
	} {
		if _, err := NewSchema(v); err == nil {
			t.Errorf("%s: got no error", name)
		}
	}
}

func TestStanzaMustBeAnObject(t *testing.T) {
	for _, text := range []string{`null`, `1`, `[]`, `"x"`, `{`, `{} {}`, `{"a":}`} {
		if _, err := ParseStanza([]byte(text)); err == nil {
			t.Errorf("%s: got no error", text)
		}
	}
}

// FuzzDecodeRoundTrip: what a struct holds comes back from its JSON.
func FuzzDecodeRoundTrip(f *testing.F) {
	f.Add("a:1", "t", -8, true, int64(time.Second), "x", uint8(3))
	f.Fuzz(func(t *testing.T, address, token string, parallel int, verify bool, timeout int64, server string, small uint8) {
		if timeout == math.MinInt64 { // its text can not be parsed again
			timeout++
		}
		if !utf8.ValidString(address + "/" + token + "/" + server) {
			t.Skip() // JSON can not carry it
		}
		values := map[string]any{
			"address": address, "token": token, "max_parallel": parallel, "verify": verify,
			"timeout": time.Duration(timeout).String(), "servers": []string{server}, "small": small,
		}
		raw, err := json.Marshal(values)
		if err != nil {
			t.Skip()
		}
		got, err := decode(t, string(raw))
		if address == "" || address == "nowhere" {
			if err == nil {
				t.Errorf("address %q: got no error", address)
			}
			return
		}
		want := options{
			Address: address, Token: token, Parallel: parallel, Verify: verify, Timeout: time.Duration(timeout),
			Servers: []string{server}, Small: small, internal: 7,
		}
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v, %v, want %+v", raw, got, err, want)
		}
	})
}
