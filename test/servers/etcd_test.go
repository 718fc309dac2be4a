package servers

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/holdfast/holdfast/test/process"
)

func TestEtcdKeepsDataAcrossKillAndRestart(t *testing.T) {
	c := EtcdCluster(t, 1)
	s := c.Members[0]
	address := s.Address
	c.Ctl("put", "test", "kept")

	s.Kill()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	if conn, err := net.Dial("tcp", u.Host); err == nil {
		t.Errorf("a killed server still accepts connections: %v", errors.Join(conn.Close()))
	}
	s.Restart()

	if s.Address != address {
		t.Errorf("address after restart is %s, want %s", s.Address, address)
	}
	if got := c.Ctl("get", "test", "--print-value-only"); got != "kept\n" {
		t.Errorf("value after restart is %q, want %q", got, "kept\n")
	}
}

func TestEtcdPausedDoesNotAnswer(t *testing.T) {
	s := Etcd(t)
	for range 5 {
		s.Pause()
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.Address+"/health", nil)
		if err != nil {
			t.Fatal(err)
		}
		if resp, err := http.DefaultClient.Do(req); err == nil {
			t.Errorf("a paused server answered %s", errors.Join(errors.New(resp.Status), resp.Body.Close()))
		}
		cancel()
		s.Resume()
		if err := s.awaitReady(); err != nil {
			t.Fatal(err)
		}
	}
}

// A server that can not bind its port ends at once: start must notice that by the
// process, not by the answer of whoever holds the port.
func TestEtcdNoticesTakenPort(t *testing.T) {
	first, second := Etcd(t), Etcd(t)
	second.Kill()
	second.Address = first.Address
	if err := errors.Join(second.launch(), second.awaitReady()); !errors.Is(err, process.ErrEnded) {
		t.Errorf("start on a taken port: %v, want %v", err, process.ErrEnded)
	}
}

func TestEtcdClusterElectsAnotherLeader(t *testing.T) {
	c := EtcdCluster(t, 3)
	c.Ctl("put", "test", "kept")
	old := c.Leader()
	old.Kill()
	if now := c.Leader(); now == old {
		t.Error("a killed member leads")
	}
	old.Restart()
	c.Restart()
	if got := c.Ctl("get", "test", "--print-value-only"); got != "kept\n" {
		t.Errorf("value after all members were killed is %q, want %q", got, "kept\n")
	}
}

func TestEtcdRestoreTakesTheStoreBack(t *testing.T) {
	for _, n := range []int{1, 3} {
		c := EtcdCluster(t, n)
		c.Ctl("put", "test", "old")
		snapshot := c.Snapshot()
		c.Ctl("put", "test", "new")
		c.Restore(snapshot)
		if got := c.Ctl("get", "test", "--print-value-only"); got != "old\n" {
			t.Errorf("%d members: value after the restore is %q, want %q", n, got, "old\n")
		}
	}
}

func TestEtcdChecksUsers(t *testing.T) {
	c := EtcdCluster(t, 1)
	c.AddUser("reader", "secret", "read", "a/")
	c.EnableAuth("rootsecret")
	c.Ctl("put", "a/b", "1")
	c.Members[0].Restart()
	if got := c.Ctl("--user=reader:secret", "get", "a/b"); !strings.Contains(got, "1") {
		t.Errorf("a user with read access gets %q", got)
	}
}
