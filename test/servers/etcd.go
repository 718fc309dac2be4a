package servers

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/holdfast/holdfast/test/process"
)

// EtcdServer is one etcd server, alone or a member of EtcdMembers. Its methods are for
// one goroutine at a time, and end the test when they fail.
type EtcdServer struct {
	// Address is the URL for clients. It stays the same across Restart.
	Address string

	t       testing.TB
	binary  string
	name    string
	dir     string // of the data; new after a Restore
	logPath string
	peer    string   // URL for other members
	flags   []string // of the server
	client  *http.Client
	proc    *process.Process
}

// Etcd starts a single etcd server and returns when it serves. It stops with the test.
// Each extra is a flag of the server, for example "--quota-backend-bytes=4194304". With
// "--cert-file=..." the server speaks TLS to clients.
func Etcd(t testing.TB, extra ...string) *EtcdServer {
	t.Helper()
	return EtcdCluster(t, 1, extra...).Members[0]
}

// PID returns the process id, for signals a test wants to send itself.
func (s *EtcdServer) PID() int { return s.proc.PID() }

// Kill ends the server at once, as a crash would. The data stays for Restart.
func (s *EtcdServer) Kill() { s.proc.Kill() }

// Stop ends the server in an orderly way. The data stays for Restart.
func (s *EtcdServer) Stop() { s.proc.Stop() }

// Restart starts the server again after Kill or Stop, with the same data and ports, and
// returns when it serves: a member needs a majority for that. A server that still runs
// is killed first. Each extra is a flag that is weightier than the ones before.
func (s *EtcdServer) Restart(extra ...string) {
	s.t.Helper()
	s.proc.Kill()
	s.flags = append(s.flags, extra...)
	if err := errors.Join(s.launch(), s.awaitReady()); err != nil {
		s.t.Fatalf("restart etcd: %v", err)
	}
}

// Pause freezes the server (SIGSTOP) and returns when it stands still: connections are
// accepted by the kernel and nothing answers.
func (s *EtcdServer) Pause() {
	s.t.Helper()
	if err := s.proc.Pause(); err != nil {
		s.t.Fatalf("etcd: %v", err)
	}
}

// Resume lets a paused server go on (SIGCONT).
func (s *EtcdServer) Resume() {
	s.t.Helper()
	if err := s.proc.Resume(); err != nil {
		s.t.Fatalf("etcd: %v", err)
	}
}

// Leads reports whether the server believes that it is the leader.
func (s *EtcdServer) Leads() bool {
	return strings.Contains(string(s.ask("/metrics")), "\netcd_server_is_leader 1\n")
}

// configure gives the server its ports and flags.
func (s *EtcdServer) configure(clientPort, peerPort int, extra []string) {
	scheme := "http"
	s.client = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	if certificate := flagValue(extra, "cert-file"); certificate != "" {
		scheme = "https"
		pair, err := tls.LoadX509KeyPair(certificate, flagValue(extra, "key-file"))
		if err != nil {
			s.t.Fatalf("start etcd: %v", err)
		}
		// The test asks whether the server is up, not whether it is the right one.
		s.client.Transport = &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{
			InsecureSkipVerify: true, Certificates: []tls.Certificate{pair},
		}}
	}
	s.Address = scheme + "://" + net.JoinHostPort("127.0.0.1", strconv.Itoa(clientPort))
	s.peer = "http://" + net.JoinHostPort("127.0.0.1", strconv.Itoa(peerPort))
	s.flags = slices.Clone(extra)
}

// flagValue returns the value of a flag that is given as --name=value.
func flagValue(flags []string, name string) string {
	for _, f := range flags {
		if value, ok := strings.CutPrefix(f, "--"+name+"="); ok {
			return value
		}
	}
	return ""
}

// initial is the server's part of --initial-cluster.
func (s *EtcdServer) initial() string { return s.name + "=" + s.peer }

// launch starts the process and waits for nothing.
func (s *EtcdServer) launch() error {
	args := []string{ // what a killed process wrote is in the kernel: no need to wait for the disk
		"--name=" + s.name, "--data-dir=" + s.dir, "--log-level=warn", "--unsafe-no-fsync",
		"--listen-client-urls=" + s.Address, "--advertise-client-urls=" + s.Address, "--listen-peer-urls=" + s.peer,
	}
	p, err := process.Start(s.logPath, s.logPath, nil, s.binary, append(args, s.flags...)...)
	if err != nil {
		return err
	}
	s.proc = p
	return nil
}

func (s *EtcdServer) awaitReady() error {
	deadline := time.Now().Add(readyTimeout)
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for !s.ready() {
		if time.Now().After(deadline) {
			s.proc.Kill()
			return fmt.Errorf("it does not serve within %v", readyTimeout)
		}
		select {
		case <-s.proc.Done():
			return fmt.Errorf("%w: %w", errEnded, s.proc.Err())
		case <-tick.C:
		}
	}
	return nil
}

// ready also looks at the command line, which tells this server from another one that
// took the port.
func (s *EtcdServer) ready() bool {
	var health struct{ Health string }
	if json.Unmarshal(s.ask("/health"), &health) != nil || health.Health != "true" {
		return false
	}
	var vars struct{ Cmdline []string }
	return json.Unmarshal(s.ask("/debug/vars"), &vars) == nil && slices.Contains(vars.Cmdline, "--data-dir="+s.dir)
}

// ask returns what the server answers to a GET request within a second, nil if nothing.
func (s *EtcdServer) ask(path string) []byte {
	// Not the test's context, which has ended when a cleanup restarts the server.
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.Address+path, nil)
	if err != nil {
		return nil
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return nil
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil
	}
	return answer
}

func (s *EtcdServer) cleanup() {
	if s.proc != nil && !s.proc.Ended() {
		s.proc.Kill()
	}
	if s.t.Failed() {
		s.t.Logf("end of %s:\n%s", s.logPath, tail(s.logPath))
	}
}

// newDir gives the server an empty data directory.
func (s *EtcdServer) newDir() {
	s.dir = filepath.Join(s.t.TempDir(), "data") // it and etcdutl create it
}
