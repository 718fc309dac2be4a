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

const (
	startAttempts = 5                // each with ports of its own
	readyTimeout  = 60 * time.Second // a busy two-core machine needs some seconds
	pollInterval  = 20 * time.Millisecond
	logTailBytes  = 16 << 10 // how much of the log a failed test prints
)

// ConsulServer is one Consul server, its own leader or a member of a cluster. Its
// methods are for one goroutine at a time, and end the test when they fail.
type ConsulServer struct {
	// Address is host:port of the HTTP API. It stays the same across Restart.
	Address string

	t       testing.TB
	binary  string
	dir     string // data and configuration
	logPath string
	rpc     string          // host:port of the server protocol, by which the leader is known
	ports   []int           // HTTP, server protocol, gossip
	peers   []*ConsulServer // all members, itself among them
	proc    *process.Process
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
		members[i] = &ConsulServer{
			t:       t,
			binary:  binary(t, "consul"),
			dir:     t.TempDir(),
			logPath: filepath.Join(t.ArtifactDir(), fmt.Sprintf("consul%d.log", i+1)),
			peers:   members,
		}
		t.Cleanup(members[i].cleanup)
	}
	var err error
	for range startAttempts { // a port may be lost to someone else between choice and use
		if err = startConsul(members, extra); !errors.Is(err, errEnded) {
			break
		}
		for _, s := range members {
			if s.proc != nil {
				s.proc.Kill()
			}
		}
	}
	if err != nil {
		t.Fatalf("start consul: %v", err)
	}
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

// PID returns the process id, for signals a test wants to send itself.
func (s *ConsulServer) PID() int { return s.proc.PID() }

// Kill ends the server at once, as a crash would. The data stays for Restart.
func (s *ConsulServer) Kill() { s.proc.Kill() }

// Stop ends the server in an orderly way. The data stays for Restart.
func (s *ConsulServer) Stop() { s.proc.Stop() }

// Restart starts the server again after Kill or Stop, with the same data and
// ports, and returns when it knows a leader again. A server that still runs is
// killed first.
func (s *ConsulServer) Restart() {
	s.t.Helper()
	s.proc.Kill()
	if err := errors.Join(s.launch(), s.awaitReady()); err != nil {
		s.t.Fatalf("restart consul: %v", err)
	}
}

// Pause freezes the server (SIGSTOP) and returns when it stands still: connections
// are accepted by the kernel and nothing answers.
func (s *ConsulServer) Pause() {
	s.t.Helper()
	if err := s.proc.Pause(); err != nil {
		s.t.Fatalf("consul: %v", err)
	}
}

// Resume lets a paused server go on (SIGCONT).
func (s *ConsulServer) Resume() {
	s.t.Helper()
	if err := s.proc.Resume(); err != nil {
		s.t.Fatalf("consul: %v", err)
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
`, name, len(s.peers), strings.Join(join, ", "), filepath.Join(s.dir, "data"), s.ports[0], s.ports[1], s.ports[2])
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

// configDir holds the base configuration in 0.hcl and each extra in a file of its
// own; Consul merges them.
func (s *ConsulServer) configDir() string { return filepath.Join(s.dir, "config") }

// errEnded: the server ended instead of becoming ready.
var errEnded = errors.New("the server ended before it was ready")

// launch starts the process and waits for nothing.
func (s *ConsulServer) launch() (err error) {
	s.proc, err = process.Start(s.logPath, s.logPath, nil, s.binary, "agent", "-config-dir", s.configDir())
	return err
}

func (s *ConsulServer) awaitReady() error {
	deadline := time.Now().Add(readyTimeout)
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for !s.ready() {
		if time.Now().After(deadline) {
			s.proc.Kill()
			return fmt.Errorf("no leader within %v", readyTimeout)
		}
		select {
		case <-s.proc.Done():
			return fmt.Errorf("%w: %w", errEnded, s.proc.Err())
		case <-tick.C:
		}
	}
	return nil
}

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

func (s *ConsulServer) cleanup() {
	if s.proc != nil && !s.proc.Ended() {
		s.proc.Kill()
	}
	if s.t.Failed() {
		s.t.Logf("end of %s:\n%s", s.logPath, tail(s.logPath))
	}
}

// tail returns the last part of a log, or why it can not be read.
func tail(path string) string {
	log, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	return string(log[max(0, len(log)-logTailBytes):])
}
