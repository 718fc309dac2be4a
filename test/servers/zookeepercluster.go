package servers

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/holdfast/holdfast/test/process"
)

// ZooKeeperCluster is a ZooKeeper ensemble. Its methods are for one goroutine at a
// time, and end the test when they fail.
type ZooKeeperCluster struct {
	Members []*ZooKeeperServer

	t testing.TB
}

// ZooKeeperEnsemble starts an ensemble of n servers and returns when all of them serve.
// It stops with the test. The extras are those of ZooKeeper.
func ZooKeeperEnsemble(t testing.TB, n int, extra ...string) *ZooKeeperCluster {
	t.Helper()
	return newZooKeeper(t, n, extra)
}

// Address lists the members, host:port with commas, as clients take it.
func (c *ZooKeeperCluster) Address() string {
	var addresses []string
	for _, m := range c.Members {
		addresses = append(addresses, m.Address)
	}
	return strings.Join(addresses, ",")
}

// Leader returns the member that leads. It waits for one.
func (c *ZooKeeperCluster) Leader() *ZooKeeperServer {
	c.t.Helper()
	return awaitLeader(c.t, "zookeeper", c.Members, func(m *ZooKeeperServer) bool {
		mode := m.Mode()
		return mode == "leader" || mode == "standalone"
	})
}

// Kill ends all members at once.
func (c *ZooKeeperCluster) Kill() {
	for _, m := range c.Members {
		m.Kill()
	}
}

// Restart starts all members again, kills first those that still run, and returns
// when all of them serve.
func (c *ZooKeeperCluster) Restart() {
	c.t.Helper()
	c.Kill()
	if err := c.start(); err != nil {
		c.t.Fatalf("restart zookeeper: %v", err)
	}
}

func newZooKeeper(t testing.TB, n int, extra []string) *ZooKeeperCluster {
	t.Helper()
	java := javaBinary(t)
	c := &ZooKeeperCluster{t: t}
	for i := range n {
		log := filepath.Join(t.ArtifactDir(), fmt.Sprintf("zookeeper-%d.log", i+1))
		c.Members = append(c.Members, &ZooKeeperServer{daemon: daemon{t: t, logPath: log}, java: java, dir: t.TempDir()})
		t.Cleanup(c.Members[i].cleanup)
	}
	startAll(t, "zookeeper", func() error {
		if err := c.configure(extra); err != nil {
			return err
		}
		return c.start()
	}, c.Kill)
	return c
}

// configure gives every member ports that are free now.
func (c *ZooKeeperCluster) configure(extra []string) error {
	ports, err := process.FreePorts(3 * len(c.Members)) // for clients, followers, elections
	if err != nil {
		return err
	}
	var peers []string
	for i := range c.Members {
		peers = append(peers, fmt.Sprintf("server.%d=127.0.0.1:%d:%d", i+1, ports[3*i+1], ports[3*i+2]))
	}
	if len(c.Members) == 1 {
		peers = nil
	}
	for i, m := range c.Members {
		if err := m.configure(ports[3*i], i+1, peers, extra); err != nil {
			return err
		}
	}
	return nil
}

func (c *ZooKeeperCluster) start() error {
	for _, m := range c.Members {
		if err := m.launch(); err != nil {
			return err
		}
	}
	for _, m := range c.Members {
		if err := m.awaitReady(); err != nil {
			return err
		}
	}
	return nil
}
