package servers

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// EtcdServer is one etcd server, alone or a member of EtcdMembers. Its methods are for
// one goroutine at a time, and end the test when they fail.
type EtcdServer struct {
	// Address is the URL for clients. It stays the same across Restart.
	Address string

	daemon
	binary string
	name   string
	dir    string   // of the data; new after a Restore
	peer   string   // URL for other members
	flags  []string // of the server
	client *http.Client
}

// Etcd starts a single etcd server and returns when it serves. It stops with the test.
// Each extra is a flag of the server, for example "--quota-backend-bytes=4194304". With
// "--cert-file=..." the server speaks TLS to clients.
func Etcd(t testing.TB, extra ...string) *EtcdServer {
	t.Helper()
	return EtcdCluster(t, 1, extra...).Members[0]
}

// Restart starts the server again after Kill or Stop, with the same data and ports, and
// returns when it serves: a member needs a majority for that. A server that still runs
// is killed first. Each extra is a flag that is weightier than the ones before.
func (s *EtcdServer) Restart(extra ...string) {
	s.t.Helper()
	s.Kill()
	s.flags = append(s.flags, extra...)
	if err := errors.Join(s.launch(), s.awaitReady()); err != nil {
		s.t.Fatalf("restart etcd: %v", err)
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
	return s.run(s.binary, append(args, s.flags...)...)
}

func (s *EtcdServer) awaitReady() error { return s.proc.AwaitReady(s.ready) }

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

// newDir gives the server an empty data directory.
func (s *EtcdServer) newDir() {
	s.dir = filepath.Join(s.t.TempDir(), "data") // it and etcdutl create it
}
