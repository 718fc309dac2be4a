package servers

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast/holdfast/test/harness"
	"github.com/holdfast/holdfast/test/process"
)

func TestZooKeeperAlone(t *testing.T) {
	t.Parallel()
	s := ZooKeeper(t, "tickTime=700")
	awaitMode(t, s, "standalone")
	harness.Eventually(t, "the configuration has the tickTime asked for", func() error {
		if conf := s.Ask("conf"); !strings.Contains(conf, "tickTime=700\n") {
			return fmt.Errorf("it is %q", conf)
		}
		return nil
	})
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
	if s.Address != address {
		t.Errorf("address after restart is %s, want %s", s.Address, address)
	}
	awaitMode(t, s, "standalone")
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
	awaitMode(t, first, "follower")
	c.Restart()
	awaitMode(t, c.Leader(), "leader")
}

// awaitMode waits until s says that it is in the mode: a busy server may say nothing in time.
func awaitMode(t *testing.T, s *ZooKeeperServer, want string) {
	t.Helper()
	harness.Eventually(t, "the server is "+want, func() error {
		if got := s.Mode(); got != want {
			return fmt.Errorf("it is %q", got)
		}
		return nil
	})
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
