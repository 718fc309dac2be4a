package servers

import (
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/holdfast/holdfast/test/process"
)

// EtcdMembers are the members of an etcd cluster. Its methods are for one goroutine at a
// time, and end the test when they fail.
type EtcdMembers struct {
	Members []*EtcdServer

	t        testing.TB
	ctl      string // etcdctl
	utl      string // etcdutl
	password string // of root; empty while users are not checked
}

// EtcdCluster starts an etcd cluster of n members and returns when all of them serve. It
// stops with the test. The extras are those of Etcd.
func EtcdCluster(t testing.TB, n int, extra ...string) *EtcdMembers {
	t.Helper()
	c := &EtcdMembers{t: t, ctl: binary(t, "etcdctl"), utl: binary(t, "etcdutl")}
	for i := range n {
		name := fmt.Sprintf("etcd-%d", i+1)
		c.Members = append(c.Members, &EtcdServer{
			t: t, binary: binary(t, "etcd"), name: name, logPath: filepath.Join(t.ArtifactDir(), name+".log"),
		})
	}
	t.Cleanup(func() {
		for _, m := range c.Members {
			m.cleanup()
		}
	})
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
		t.Fatalf("start etcd: %v", err)
	}
	return c
}

// Address lists the URLs of the members with commas, as clients take it.
func (c *EtcdMembers) Address() string {
	var addresses []string
	for _, m := range c.Members {
		addresses = append(addresses, m.Address)
	}
	return strings.Join(addresses, ",")
}

// Leader returns the member that leads. It waits for one.
func (c *EtcdMembers) Leader() *EtcdServer {
	c.t.Helper()
	deadline := time.Now().Add(readyTimeout)
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		for _, m := range c.Members {
			if m.Leads() {
				return m
			}
		}
		if time.Now().After(deadline) {
			c.t.Fatalf("etcd: no leader within %v", readyTimeout)
		}
		<-tick.C
	}
}

// Kill ends all members at once.
func (c *EtcdMembers) Kill() {
	for _, m := range c.Members {
		if m.proc != nil {
			m.Kill()
		}
	}
}

// Restart starts all members again, kills first those that still run, and returns when
// all of them serve.
func (c *EtcdMembers) Restart() {
	c.t.Helper()
	c.Kill()
	if err := c.start(); err != nil {
		c.t.Fatalf("restart etcd: %v", err)
	}
}

// Ctl runs etcdctl with all members' addresses, as root if users are checked, and returns
// what it prints.
func (c *EtcdMembers) Ctl(args ...string) string {
	c.t.Helper()
	args = append([]string{"--endpoints=" + c.Address()}, args...)
	if c.password != "" {
		args = append([]string{"--user=root:" + c.password}, args...)
	}
	return c.run(c.ctl, args...)
}

// EnableAuth creates the user root and lets the servers check users from now on.
func (c *EtcdMembers) EnableAuth(password string) {
	c.t.Helper()
	c.Ctl("user", "add", "root:"+password)
	c.Ctl("user", "grant-role", "root", "root")
	c.Ctl("auth", "enable")
	c.password = password
}

// AddUser creates a user who has access (read, write or readwrite) to the keys that
// begin with prefix.
func (c *EtcdMembers) AddUser(name, password, access, prefix string) {
	c.t.Helper()
	c.Ctl("user", "add", name+":"+password)
	c.Ctl("role", "add", name)
	c.Ctl("role", "grant-permission", "--prefix=true", name, access, prefix)
	c.Ctl("user", "grant-role", name, name)
}

// Snapshot saves the state of the store to a file for Restore.
func (c *EtcdMembers) Snapshot() (path string) {
	c.t.Helper()
	path = filepath.Join(c.t.TempDir(), "snapshot.db")
	args := []string{"--endpoints=" + c.Leader().Address, "snapshot", "save", path} // it takes one member only
	if c.password != "" {
		args = append([]string{"--user=root:" + c.password}, args...)
	}
	c.run(c.ctl, args...)
	return path
}

// Restore kills all members, takes the cluster back to a snapshot as etcd's documentation
// says, and starts it again. Revisions after the snapshot are given a second time.
func (c *EtcdMembers) Restore(snapshot string) {
	c.t.Helper()
	c.Kill()
	for _, m := range c.Members {
		m.newDir()
		c.run(c.utl, "snapshot", "restore", snapshot, "--data-dir="+m.dir, "--name="+m.name,
			"--initial-cluster="+c.initial(), "--initial-advertise-peer-urls="+m.peer)
	}
	if err := c.start(); err != nil {
		c.t.Fatalf("start the restored etcd: %v", err)
	}
}

func (c *EtcdMembers) run(program string, args ...string) string {
	c.t.Helper()
	cmd := exec.Command(program, args...)
	cmd.Env = []string{} // no ETCDCTL_* of the developer
	var complaints strings.Builder
	cmd.Stderr = &complaints
	out, err := cmd.Output()
	if err != nil {
		c.t.Fatalf("%s %q: %v\n%s%s", filepath.Base(program), args, err, out, complaints.String())
	}
	return string(out)
}

// configure gives every member ports that are free now, and an empty data directory.
func (c *EtcdMembers) configure(extra []string) error {
	ports, err := process.FreePorts(2 * len(c.Members)) // for clients and for members
	if err != nil {
		return err
	}
	for i, m := range c.Members {
		m.configure(ports[2*i], ports[2*i+1], extra)
		m.newDir()
	}
	for _, m := range c.Members {
		m.flags = append(m.flags, "--initial-cluster="+c.initial(), "--initial-advertise-peer-urls="+m.peer)
	}
	return nil
}

func (c *EtcdMembers) initial() string {
	var all []string
	for _, m := range c.Members {
		all = append(all, m.initial())
	}
	return strings.Join(all, ",")
}

func (c *EtcdMembers) start() error {
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
