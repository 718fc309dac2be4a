package servers

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast/holdfast/test/process"
)

func TestZooKeeperAlone(t *testing.T) {
	t.Parallel()
	s := ZooKeeper(t, "tickTime=700")
	if got := s.Mode(); got != "standalone" {
		t.Errorf("mode is %q, want standalone", got)
	}
	if conf := s.Ask("conf"); !strings.Contains(conf, "tickTime=700\n") {
		t.Errorf("the configuration is %q, want the tickTime asked for", conf)
	}
	s.Pause()
	if got := s.Mode(); got != "" {
		t.Errorf("a paused server says it is %q", got)
	}
	s.Resume()
	address := s.Address
	s.Kill()
	if conn, err := net.Dial("tcp", address); err == nil {
		t.Errorf("a killed server still accepts connections: %v", errors.Join(conn.Close()))
	}
	s.Restart()
	if s.Address != address || s.Mode() != "standalone" {
		t.Errorf("after restart: %s, %q, want %s again", s.Address, s.Mode(), address)
	}
	s.Stop()
	if err := syscall.Kill(s.PID(), 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("after Stop signal 0 gives %v, want %v", err, syscall.ESRCH)
	}
}

func TestZooKeeperEnsembleElectsAnotherLeader(t *testing.T) {
	t.Parallel()
	c := ZooKeeperEnsemble(t, 3)
	if got := len(strings.Split(c.Address(), ",")); got != 3 {
		t.Errorf("address %q names %d servers, want 3", c.Address(), got)
	}
	first := c.Leader()
	first.Kill()
	second := c.Leader()
	if second == first {
		t.Fatal("the killed leader leads")
	}
	first.Restart()
	if got := first.Mode(); got != "follower" {
		t.Errorf("the restarted member is %q, want follower", got)
	}
	c.Restart()
	if c.Leader().Mode() != "leader" {
		t.Error("no leader after a restart of all members")
	}
}

// start must notice by the process that it can not bind its port.
func TestZooKeeperNoticesTakenPort(t *testing.T) {
	t.Parallel()
	first, second := ZooKeeper(t), ZooKeeper(t)
	second.Kill()
	path := filepath.Join(second.dir, "zoo.cfg")
	config, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	changed := strings.Replace(string(config), port(t, second.Address), port(t, first.Address), 1)
	if err := os.WriteFile(path, []byte(changed), 0o600); err != nil {
		t.Fatal(err)
	}
	second.Address = first.Address
	started := time.Now()
	if err := errors.Join(second.launch(), second.awaitReady()); !errors.Is(err, process.ErrEnded) {
		t.Errorf("start on a taken port: %v after %v, want %v", err, time.Since(started), process.ErrEnded)
	}
}
