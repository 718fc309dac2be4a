package servers

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

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
	deadline := time.Now().Add(readyTimeout)
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		for _, m := range c.Members {
			if mode := m.Mode(); mode == "leader" || mode == "standalone" {
				return m
			}
		}
		if time.Now().After(deadline) {
			c.t.Fatalf("zookeeper: no leader within %v", readyTimeout)
		}
		<-tick.C
	}
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
		c.Members = append(c.Members, &ZooKeeperServer{
			t: t, java: java, dir: t.TempDir(), logPath: filepath.Join(t.ArtifactDir(), fmt.Sprintf("zookeeper-%d.log", i+1)),
		})
	}
	t.Cleanup(c.cleanup)
	var err error
	for range startAttempts { // a port may be lost to someone else between choice and use
		if err = c.configure(extra); err == nil {
			err = c.start()
		}
		if !errors.Is(err, errEnded) {
			break
		}
		c.Kill()
	}
	if err != nil {
		t.Fatalf("start zookeeper: %v", err)
	}
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

func (c *ZooKeeperCluster) cleanup() {
	for _, m := range c.Members {
		if m.proc != nil && !m.proc.Ended() {
			m.proc.Kill()
		}
		if c.t.Failed() {
			c.t.Logf("end of %s:\n%s", m.logPath, tail(m.logPath))
		}
	}
}
