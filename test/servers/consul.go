package servers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/holdfast/holdfast/test/process"
)

// ConsulServer is one Consul server, its own leader or a member of a cluster. Its
// methods are for one goroutine at a time, and end the test when they fail.
type ConsulServer struct {
	// Address is host:port of the HTTP API. It stays the same across Restart.
	Address string

	daemon
	binary string
	dir    string          // data and configuration
	rpc    string          // host:port of the server protocol, by which the leader is known
	ports  []int           // HTTP, server protocol, gossip
	peers  []*ConsulServer // all members, itself among them
}

// Consul starts a Consul server and returns when it has elected itself leader. It
// stops with the test. Each extra is a piece of agent configuration in HCL, for
// example `acl { enabled = true }`.
func Consul(t testing.TB, extra ...string) *ConsulServer {
	t.Helper()
	return ConsulCluster(t, 1, extra...)[0]
}

// ConsulCluster is Consul for size servers that are members of one cluster.
func ConsulCluster(t testing.TB, size int, extra ...string) []*ConsulServer {
	t.Helper()
	members := make([]*ConsulServer, size)
	for i := range members {
		log := filepath.Join(t.ArtifactDir(), fmt.Sprintf("consul%d.log", i+1))
		members[i] = &ConsulServer{daemon: daemon{t: t, logPath: log}, binary: binary(t, "consul"), dir: t.TempDir(), peers: members}
		t.Cleanup(members[i].cleanup)
	}
	startAll(t, "consul", func() error { return startConsul(members, extra) }, func() {
		for _, s := range members {
			s.Kill()
		}
	})
	return members
}

func startConsul(members []*ConsulServer, extra []string) error {
	ports, err := process.FreePorts(3 * len(members))
	if err != nil {
		return err
	}
	for i, s := range members {
		s.ports = ports[3*i : 3*i+3]
	}
	for i, s := range members {
		if err := s.configure(fmt.Sprintf("consul%d", i+1), extra); err != nil {
			return err
		}
		if err := s.launch(); err != nil {
			return err
		}
	}
	for _, s := range members {
		if err := s.awaitReady(); err != nil {
			return err
		}
	}
	return nil
}

// Leads reports whether the server is the leader of its cluster, by its own account.
func (s *ConsulServer) Leads() bool { return s.leader() == s.rpc }

// Restart starts the server again after Kill or Stop, with the same data and
// ports, and returns when it knows a leader again. A server that still runs is
// killed first.
func (s *ConsulServer) Restart() {
	s.t.Helper()
	s.Kill()
	if err := errors.Join(s.launch(), s.awaitReady()); err != nil {
		s.t.Fatalf("restart consul: %v", err)
	}
}

// RestartConsul starts all members of a cluster again, kills first those that still run,
// and returns when all know a leader.
func RestartConsul(t testing.TB, members []*ConsulServer) {
	t.Helper()
	for _, s := range members {
		s.Kill()
	}
	var errs []error
	for _, s := range members {
		errs = append(errs, s.launch())
	}
	for _, s := range members {
		if errs = append(errs, s.awaitReady()); errors.Join(errs...) != nil {
			t.Fatalf("restart consul: %v", errors.Join(errs...))
		}
	}
}

// configure writes the agent's configuration.
func (s *ConsulServer) configure(name string, extra []string) error {
	s.Address = "127.0.0.1:" + strconv.Itoa(s.ports[0])
	s.rpc = "127.0.0.1:" + strconv.Itoa(s.ports[1])
	join := make([]string, len(s.peers))
	for i, peer := range s.peers {
		join[i] = strconv.Quote("127.0.0.1:" + strconv.Itoa(peer.ports[2]))
	}
	config := fmt.Sprintf(`
server             = true
node_name          = %q
bootstrap_expect   = %d
retry_join         = [%s]
retry_interval     = "200ms"
bind_addr          = "127.0.0.1"
client_addr        = "127.0.0.1"
data_dir           = %q
log_level          = "warn"
disable_update_check = true
connect     { enabled = false }
performance { raft_multiplier = 1 }
limits      { http_max_conns_per_client = 2000 }
ports {
  http = %d
  server = %d
  serf_lan = %d
  serf_wan = -1
  grpc = -1
  grpc_tls = -1
  dns = -1
}
`, name, len(s.peers), strings.Join(join, ", "), s.dataDir(), s.ports[0], s.ports[1], s.ports[2])
	if err := os.MkdirAll(s.configDir(), 0o700); err != nil {
		return err
	}
	for i, piece := range append([]string{config}, extra...) {
		path := filepath.Join(s.configDir(), strconv.Itoa(i)+".hcl")
		if err := os.WriteFile(path, []byte(piece), 0o600); err != nil {
			return err
		}
	}
	return nil
}

func (s *ConsulServer) dataDir() string { return filepath.Join(s.dir, "data") }

// configDir holds the base configuration in 0.hcl and each extra in a file of its
// own; Consul merges them.
func (s *ConsulServer) configDir() string { return filepath.Join(s.dir, "config") }

// launch starts the process and waits for nothing.
func (s *ConsulServer) launch() error {
	return s.run(s.binary, "agent", "-config-dir", s.configDir())
}

func (s *ConsulServer) awaitReady() error { return s.proc.AwaitReady(s.ready) }

// ready asks who the leader is. The answer names a port of this cluster, so it can
// not be another server's that took the HTTP port.
func (s *ConsulServer) ready() bool {
	leader := s.leader()
	return slices.ContainsFunc(s.peers, func(peer *ConsulServer) bool { return peer.rpc == leader })
}

// leader returns the server protocol's address of the leader that s knows, if any.
func (s *ConsulServer) leader() string {
	// Not the test's context, which has ended when a cleanup restarts the server.
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.Address+"/v1/status/leader", nil)
	if err != nil {
		return ""
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return ""
	}
	defer resp.Body.Close()
	var leader string
	if err := json.NewDecoder(resp.Body).Decode(&leader); err != nil {
		return ""
	}
	return leader
}
