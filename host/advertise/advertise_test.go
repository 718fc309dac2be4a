package advertise

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
)

// up returns an interface that is up and has these addresses.
func up(name string, addrs ...string) Interface {
	i := Interface{Name: name, Up: true}
	for _, addr := range addrs {
		i.Addrs = append(i.Addrs, netip.MustParseAddr(addr))
	}
	return i
}

func default4(i Interface) Interface { i.DefaultRoute4 = true; return i }
func default6(i Interface) Interface { i.DefaultRoute6 = true; return i }
func down(i Interface) Interface     { i.Up = false; return i }

var loopback = up("lo", "127.0.0.1", "::1")

func TestAPIOfAWildcardListener(t *testing.T) {
	lo := loopback
	for _, tt := range []struct {
		name       string
		listen     string
		interfaces []Interface
		want       string // host:port; empty for ErrNoAddress
	}{
		{"one interface", ":8200", []Interface{lo, up("eth0", "10.0.0.5")}, "10.0.0.5:8200"},
		{"first of several", "[::]:8200", []Interface{lo, up("eth0", "192.168.1.2"), up("eth1", "10.0.0.5")}, "192.168.1.2:8200"},
		{"first on an interface", ":8200", []Interface{up("eth0", "203.0.113.9", "172.16.0.1", "10.0.0.1")}, "172.16.0.1:8200"},
		{"default route first", ":8200", []Interface{lo, up("docker0", "172.17.0.1"), default4(up("eth0", "10.0.0.5"))}, "10.0.0.5:8200"},
		{"default route without a private address", ":8200", []Interface{default4(up("eth0", "198.41.0.4")), up("eth1", "10.0.0.5")}, "10.0.0.5:8200"},
		{"default route of the other family", ":8200", []Interface{default4(up("eth0", "10.0.0.5")), default6(up("tun0", "10.8.0.1", "fd00::1"))}, "10.0.0.5:8200"},
		{"RFC 1918 before the default route's IPv6", ":8200", []Interface{default4(default6(up("eth0", "fd00::5"))), up("eth1", "10.0.0.5")}, "10.0.0.5:8200"},
		{"IPv6 default route first", ":8200", []Interface{up("eth0", "fd00::1"), default6(up("eth1", "fd00::2"))}, "[fd00::2]:8200"},
		{"IPv6 only", ":8200", []Interface{lo, up("eth0", "fe80::1", "2001:db8::1", "fd12:3456::7")}, "[fd12:3456::7]:8200"},
		{"documentation range and ULA", ":8200", []Interface{lo, up("eth0", "192.0.2.2", "fd00::2")}, "[fd00::2]:8200"},
		{"documentation range and ULA, all of IPv6", "[::]:8200", []Interface{lo, up("eth0", "192.0.2.2", "fd00::2")}, "[fd00::2]:8200"},
		{"IPv4 listener does not serve IPv6", "0.0.0.0:8200", []Interface{lo, up("eth0", "192.0.2.2", "fd00::2")}, ""},
		{"IPv4 listener", "0.0.0.0:8200", []Interface{lo, up("eth0", "fd00::2", "10.1.1.1")}, "10.1.1.1:8200"},
		{"mapped IPv4 listener", "[::ffff:0.0.0.0]:8200", []Interface{up("eth0", "fd00::2")}, ""},
		{"interface that is down", ":8200", []Interface{down(up("eth0", "10.0.0.1")), up("eth1", "10.0.0.2")}, "10.0.0.2:8200"},
		{"mapped address", ":8200", []Interface{up("eth0", "::ffff:10.0.0.1")}, "10.0.0.1:8200"},
		{"no interface", ":8200", nil, ""},
		{"loopback only", ":8200", []Interface{lo}, ""},
		{"never shared, link-local, documentation or public", ":8200", []Interface{up("eth0",
			"100.64.0.1", "169.254.1.1", "192.0.2.1", "198.51.100.1", "203.0.113.1", "8.8.8.8",
			"fe80::1", "2001:db8::1", "2600::1", "3fff::1", "::1", "127.0.0.2", "0.0.0.0", "224.0.0.1")}, ""},
		{"edges of the private ranges", ":8200", []Interface{up("eth0", "172.15.255.255", "172.32.0.0", "11.0.0.0", "192.169.0.0", "172.31.255.255")}, "172.31.255.255:8200"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := API("", []Listener{{Address: tt.listen, TLS: true}}, tt.interfaces)
			if tt.want == "" {
				if !errors.Is(err, ErrNoAddress) || !strings.Contains(err.Error(), "api_addr") {
					t.Errorf("API = %q, %v, want ErrNoAddress, which names api_addr", got.URL, err)
				}
				return
			}
			if want := "https://" + tt.want; err != nil || got.URL != want {
				t.Errorf("API = %q, %v, want %q", got.URL, err, want)
			}
			if !strings.HasPrefix(got.Origin, "first private address, on ") {
				t.Errorf("Origin = %q", got.Origin)
			}
		})
	}
}

func TestAPIOfASpecificListener(t *testing.T) {
	eth0 := []Interface{up("eth0", "10.0.0.5")}
	for _, tt := range []struct {
		name   string
		listen []Listener
		want   string
	}{
		{"loopback", []Listener{{Address: "127.0.0.1:8200"}}, "http://127.0.0.1:8200"},
		{"loopback by name", []Listener{{Address: "localhost:8200"}}, "http://localhost:8200"},
		{"IPv6 loopback", []Listener{{Address: "[::1]:8200"}}, "http://[::1]:8200"},
		{"an address", []Listener{{Address: "192.0.2.7:443", TLS: true}}, "https://192.0.2.7:443"},
		{"a name", []Listener{{Address: "node1.example.com:8300", TLS: true}}, "https://node1.example.com:8300"},
		{"the first that others reach", []Listener{{Address: "127.0.0.1:8200"}, {Address: "10.9.9.9:8300", TLS: true}}, "https://10.9.9.9:8300"},
		{"loopback, then wildcard", []Listener{{Address: "127.0.0.1:8200"}, {Address: ":8300", TLS: true}}, "https://10.0.0.5:8300"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got, err := API("", tt.listen, eth0); err != nil || got.URL != tt.want {
				t.Errorf("API = %q, %v, want %q", got.URL, err, tt.want)
			}
		})
	}
	for _, bad := range []string{"", "10.0.0.1", "10.0.0.1:0", ":http", "10.0.0.1:70000", "[fe80::1%eth0]:8200"} {
		if got, err := API("", []Listener{{Address: bad}}, eth0); err == nil {
			t.Errorf("API of a listener on %q = %q, want an error", bad, got.URL)
		}
	}
}

func TestConfiguredAPI(t *testing.T) {
	listen := []Listener{{Address: "10.0.0.5:8200"}}
	for _, tt := range []struct{ configured, want string }{
		{"http://10.0.0.9:8200", "http://10.0.0.9:8200"},
		{"https://vault.example.com", "https://vault.example.com"},
		{"https://vault.example.com:8200/", "https://vault.example.com:8200"},
		{"http://[fd00::9]:8200", "http://[fd00::9]:8200"},
		{`http://{{ "10.7.7.7" }}:8200`, "http://10.7.7.7:8200"},
	} {
		got, err := API(tt.configured, listen, nil)
		if err != nil || got.URL != tt.want {
			t.Errorf("API(%q) = %q, %v, want %q", tt.configured, got.URL, err, tt.want)
		}
	}
	for _, bad := range []string{
		"10.0.0.9:8200", "10.0.0.9", "ftp://10.0.0.9", "http://", "https://:8200", "http:10.0.0.9", "/", "%",
		"http://10.0.0.9:8200/vault", "http://10.0.0.9?x=1", "http://user:pass@10.0.0.9", "http://10.0.0.9:0", "http://10.0.0.9:99999",
		"http://0.0.0.0:8200", "http://[::]:8200", `{{ "10.0.0.1 10.0.0.2" }}`, `http://{{ "" }}:8200`, "{{ GetNoSuchIP }}", "{{",
	} {
		if got, err := API(bad, listen, nil); err == nil || !strings.Contains(err.Error(), "api_addr") {
			t.Errorf("API(%q) = %q, %v, want an error that names api_addr", bad, got.URL, err)
		}
	}
}

func TestCluster(t *testing.T) {
	for _, tt := range []struct{ configured, api, want string }{
		{"", "http://10.0.0.5:8200", "https://10.0.0.5:8201"},
		{"", "https://[fd00::2]:8200", "https://[fd00::2]:8201"},
		{"", "https://vault.example.com", "https://vault.example.com:444"},
		{"", "http://vault.example.com", "https://vault.example.com:81"},
		{"https://10.0.0.5:9000", "http://10.0.0.5:8200", "https://10.0.0.5:9000"},
		{"http://10.0.0.5:9000", "http://10.0.0.5:8200", "https://10.0.0.5:9000"},
	} {
		if got, err := Cluster(tt.configured, Address{URL: tt.api}); err != nil || got.URL != tt.want {
			t.Errorf("Cluster(%q, %q) = %q, %v, want %q", tt.configured, tt.api, got.URL, err, tt.want)
		}
	}
	for _, bad := range []struct{ configured, api string }{{"", "http://10.0.0.5:65535"}, {"10.0.0.5:8201", "http://10.0.0.5"}} {
		if got, err := Cluster(bad.configured, Address{URL: bad.api}); err == nil || !strings.Contains(err.Error(), "cluster_addr") {
			t.Errorf("Cluster(%q, %q) = %q, %v, want an error that names cluster_addr", bad.configured, bad.api, got.URL, err)
		}
	}
}

func TestClusterBind(t *testing.T) {
	for _, tt := range []struct {
		listener Listener
		want     string
	}{
		{Listener{Address: "0.0.0.0:8200"}, "0.0.0.0:8201"},
		{Listener{Address: ":8200"}, ":8201"},
		{Listener{Address: "[::1]:8200"}, "[::1]:8201"},
		{Listener{Address: "127.0.0.1:8200", ClusterAddress: "10.0.0.5:9000"}, "10.0.0.5:9000"},
	} {
		if got, err := ClusterBind(tt.listener); err != nil || got != tt.want {
			t.Errorf("ClusterBind(%+v) = %q, %v, want %q", tt.listener, got, err, tt.want)
		}
	}
	for _, bad := range []Listener{{Address: "10.0.0.5:65535"}, {Address: "10.0.0.5"}, {Address: ":8200", ClusterAddress: "x"}} {
		if got, err := ClusterBind(bad); err == nil {
			t.Errorf("ClusterBind(%+v) = %q, want an error", bad, got)
		}
	}
}

func TestNetwork(t *testing.T) {
	for address, want := range map[string]string{
		"0.0.0.0:8200": "tcp4", "10.0.0.5:8200": "tcp4", "[::]:8200": "tcp", ":8200": "tcp", "name:8200": "tcp", "[::1]:8200": "tcp",
	} {
		if got := Network(address); got != want {
			t.Errorf("Network(%q) = %q, want %q", address, got, want)
		}
	}
}
