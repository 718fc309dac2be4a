package e2e

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/vault/api"

	"github.com/holdfast/holdfast/test/harness"
)

// interfaceOf is an interface of a test machine.
type interfaceOf struct {
	name      string
	addresses []string // with prefix lengths
}

// TestAdvertiseAddress runs a server on machines whose interfaces are known, network
// namespaces, and looks at the address that it advertises: what sys/leader shows, and
// what the banner says.
func TestAdvertiseAddress(t *testing.T) {
	const listenAll = "0.0.0.0:8200"
	for _, tc := range []struct {
		name       string
		interfaces []interfaceOf
		routes     []string // default routes, as arguments of "ip route add default"
		listen     string   // 0.0.0.0:8200 if empty
		config     string   // more of it
		env        []string
		want       string // API address; empty: the server refuses to start
		cluster    string // cluster address; the API address and the port after its own if empty
	}{
		{
			name:       "one private address",
			interfaces: []interfaceOf{{"eth0", []string{"10.1.2.3/24"}}},
			want:       "http://10.1.2.3:8200",
			cluster:    "https://10.1.2.3:8201",
		},
		{
			name:       "several interfaces, the default route's first",
			interfaces: []interfaceOf{{"docker0", []string{"172.17.0.1/16"}}, {"eth0", []string{"10.1.2.3/24"}}, {"eth1", []string{"192.168.7.7/24"}}},
			routes:     []string{"via 192.168.7.1 dev eth1 metric 100", "via 10.1.2.1 dev eth0 metric 50"},
			want:       "http://10.1.2.3:8200",
		},
		{
			name:       "several interfaces without a default route",
			interfaces: []interfaceOf{{"eth0", []string{"192.168.7.7/24"}}, {"eth1", []string{"10.1.2.3/24"}}},
			want:       "http://192.168.7.7:8200",
		},
		{
			name:       "default route through a public address",
			interfaces: []interfaceOf{{"eth0", []string{"198.41.0.4/24"}}, {"eth1", []string{"10.1.2.3/24"}}},
			routes:     []string{"via 198.41.0.1 dev eth0"},
			want:       "http://10.1.2.3:8200",
		},
		{
			name:       "shared, link-local and documentation addresses before a private one",
			interfaces: []interfaceOf{{"eth0", []string{"100.64.0.5/24", "169.254.9.9/16", "192.0.2.5/24", "172.16.5.5/24"}}},
			want:       "http://172.16.5.5:8200",
		},
		{
			name:       "IPv6 only",
			interfaces: []interfaceOf{{"eth0", []string{"2001:db8::5/64", "fd12:3456::7/64"}}},
			listen:     "[::]:8200",
			want:       "http://[fd12:3456::7]:8200",
			cluster:    "https://[fd12:3456::7]:8201",
		},
		{
			name:       "documentation address and a unique local one",
			interfaces: []interfaceOf{{"eth0", []string{"192.0.2.2/24", "fd00::2/64"}}},
			listen:     "[::]:8200",
			want:       "http://[fd00::2]:8200",
		},
		{
			name:       "IPv6, but the listener serves IPv4",
			interfaces: []interfaceOf{{"eth0", []string{"192.0.2.2/24", "fd00::2/64"}}},
		},
		{name: "none"},
		{name: "none, IPv6 listener", listen: "[::]:8200"},
		{
			name:       "only addresses that are never advertised",
			interfaces: []interfaceOf{{"eth0", []string{"100.64.0.5/24", "169.254.9.9/16", "198.51.100.7/24", "203.0.113.7/24", "8.8.8.8/24", "2001:db8::5/64"}}},
			listen:     "[::]:8200",
		},
		{
			name:       "api_addr",
			interfaces: []interfaceOf{{"eth0", []string{"10.1.2.3/24"}}},
			config:     `api_addr = "http://node1.example.com:8200"`,
			want:       "http://node1.example.com:8200",
		},
		{
			name:   "api_addr on a machine without an address",
			config: `api_addr = "http://10.9.9.9:8200"`,
			want:   "http://10.9.9.9:8200",
		},
		{
			name:       "api_addr as a template",
			interfaces: []interfaceOf{{"eth0", []string{"10.1.2.3/24"}}, {"eth1", []string{"192.168.7.7/24"}}},
			config:     `api_addr = "http://{{ GetInterfaceIP \"eth1\" }}:8200"`,
			want:       "http://192.168.7.7:8200",
		},
		{
			name:       "HOLDFAST_API_ADDR wins over api_addr and VAULT_API_ADDR",
			interfaces: []interfaceOf{{"eth0", []string{"10.1.2.3/24"}}},
			config:     `api_addr = "http://10.9.9.9:8200"`,
			env:        []string{"VAULT_API_ADDR=http://10.8.8.8:8200", "HOLDFAST_API_ADDR=http://10.7.7.7:8200"},
			want:       "http://10.7.7.7:8200",
		},
		{
			name:       "VAULT_API_ADDR wins over api_addr",
			interfaces: []interfaceOf{{"eth0", []string{"10.1.2.3/24"}}},
			config:     `api_addr = "http://10.9.9.9:8200"`,
			env:        []string{"VAULT_API_ADDR=http://10.8.8.8:8200"},
			want:       "http://10.8.8.8:8200",
		},
		{
			name:       "HOLDFAST_CLUSTER_ADDR",
			interfaces: []interfaceOf{{"eth0", []string{"10.1.2.3/24"}}},
			env:        []string{"HOLDFAST_CLUSTER_ADDR=https://10.6.6.6:9201"},
			want:       "http://10.1.2.3:8200",
			cluster:    "https://10.6.6.6:9201",
		},
		{
			name:       "listener on one address",
			interfaces: []interfaceOf{{"eth0", []string{"10.1.2.3/24", "203.0.113.9/24"}}},
			listen:     "203.0.113.9:8200",
			want:       "http://203.0.113.9:8200",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			machine := newNetns(t)
			for _, i := range tc.interfaces {
				machine.addInterface(i.name, i.addresses...)
			}
			for _, route := range tc.routes {
				machine.ip(append([]string{"route", "add", "default"}, strings.Fields(route)...)...)
			}
			listen := tc.listen
			if listen == "" {
				listen = listenAll
			}
			d := machine.startServer(t, tc.env, listenOn(listen)+tc.config)
			if tc.want == "" {
				checkRefused(t, d, "no address to advertise", "api_addr", "HOLDFAST_API_ADDR")
				return
			}
			reach := listen
			if host, ok := map[string]string{listenAll: "127.0.0.1:8200", "[::]:8200": "[::1]:8200"}[listen]; ok {
				reach = host
			}
			checkAdvertised(t, d, machine.client(t, reach), tc.want, tc.cluster)
		})
	}
}

// startServer starts a server with in-memory storage in the namespace.
func (n *netns) startServer(t *testing.T, env []string, config string) *daemon {
	t.Helper()
	file := filepath.Join(t.TempDir(), "holdfast.hcl")
	config = pluginDirectory(filepath.Join(harness.Binaries(t), "plugins")) + "storage \"inmem\" {}\n" + config + "\n"
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	path, args := n.command(holdfast(t), "server", "-config="+file)
	return startDaemon(t, env, path, args...)
}

// client returns Vault's client for a server at a numeric address in the namespace.
func (n *netns) client(t *testing.T, address string) *api.Client {
	t.Helper()
	cfg := api.DefaultConfig()
	cfg.Address, cfg.MaxRetries, cfg.Timeout = "http://"+address, 0, harness.Patience
	transport := &http.Transport{DialContext: n.DialContext}
	t.Cleanup(transport.CloseIdleConnections)
	cfg.HttpClient = &http.Client{Transport: transport}
	client, err := api.NewClient(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// checkAdvertised checks the addresses in the banner, in the log and, once the server is
// unsealed, in sys/leader.
func checkAdvertised(t *testing.T, d *daemon, client *api.Client, wantAPI, wantCluster string) {
	t.Helper()
	if got := d.awaitOutput("^Api Address: (.*)$")[1]; got != wantAPI {
		t.Errorf("the banner says %s, want %s", got, wantAPI)
	}
	d.awaitOutput("^==> Holdfast server started")
	unsealNew(t, client)
	var leader *api.LeaderResponse
	harness.Eventually(t, "the node is active", func() (err error) {
		leader, err = client.Sys().Leader()
		if err == nil && !leader.IsSelf {
			err = fmt.Errorf("sys/leader is %+v", leader)
		}
		return err
	})
	if leader.LeaderAddress != wantAPI {
		t.Errorf("sys/leader shows the API address %s, want %s", leader.LeaderAddress, wantAPI)
	}
	if wantCluster != "" && leader.LeaderClusterAddress != wantCluster {
		t.Errorf("sys/leader shows the cluster address %s, want %s", leader.LeaderClusterAddress, wantCluster)
	}
	if !strings.Contains(d.stderr(), "advertise address: api="+wantAPI) {
		t.Errorf("the log does not tell the advertise address %s", wantAPI)
	}
}
