package seal

import (
	"strings"
	"testing"
)

func TestConfigRoundTrip(t *testing.T) {
	want := NewConfig(5, 3, "id", "name")
	data, err := want.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := ParseConfig(data); err != nil || got != want {
		t.Errorf("ParseConfig = %+v, %v, want %+v", got, err, want)
	}
}

func TestParseConfigRefuses(t *testing.T) {
	for _, tt := range []struct{ name, data, want string }{
		{"nothing", ``, "parse the seal configuration"},
		{"no object", `[]`, "parse the seal configuration"},
		{"newer", `{"version":2,"type":"hsm","slot":7}`, "newer version"},
		{"no version", `{"type":"shamir","shares":1,"threshold":1,"cluster_id":"x"}`, "version is 0"},
		{"unknown field", `{"version":1,"sharez":5}`, "sharez"},
		{"other type", `{"version":1,"type":"hsm","shares":1,"threshold":1,"cluster_id":"x"}`, `"hsm"`},
		{"impossible split", `{"version":1,"type":"shamir","shares":3,"threshold":4,"cluster_id":"x"}`, "threshold"},
		{"no cluster", `{"version":1,"type":"shamir","shares":1,"threshold":1}`, "cluster_id"},
		{"trailing", `{"version":1,"type":"shamir","shares":1,"threshold":1,"cluster_id":"x"} {}`, "parse"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := ParseConfig([]byte(tt.data))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("ParseConfig = %v, want an error with %q", err, tt.want)
			}
		})
	}
}

func TestEncodeRefusesAnInvalidConfig(t *testing.T) {
	if data, err := NewConfig(5, 1, "id", "").Encode(); err == nil {
		t.Errorf("Encode = %s, want an error", data)
	}
}
