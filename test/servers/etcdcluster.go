package servers

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

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
			daemon: daemon{t: t, logPath: filepath.Join(t.ArtifactDir(), name+".log")}, binary: binary(t, "etcd"), name: name,
		})
		t.Cleanup(c.Members[i].cleanup)
	}
	startAll(t, "etcd", func() error {
		if err := c.configure(extra); err != nil {
			return err
		}
		return c.start()
	}, c.Kill)
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
	return awaitLeader(c.t, "etcd", c.Members, (*EtcdServer).Leads)
}

// Kill ends all members at once.
func (c *EtcdMembers) Kill() {
	for _, m := range c.Members {
		m.Kill()
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
	return c.run(c.ctl, c.ctlArgs(c.Address(), args...)...)
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
	c.run(c.ctl, c.ctlArgs(c.Leader().Address, "snapshot", "save", path)...) // it takes one member only
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

// fillerKey is none of Holdfast's.
const fillerKey = "filler"

// Fill puts values into the store until it has reached its quota, which should be a small one
// (--quota-backend-bytes), and has raised the NOSPACE alarm.
func (c *EtcdMembers) Fill() {
	c.t.Helper()
	value := strings.Repeat("x", 1<<20)
	for range maxFillers {
		cmd := exec.Command(c.ctl, c.ctlArgs(c.Address(), "put", fillerKey)...)
		cmd.Env, cmd.Stdin = []string{}, strings.NewReader(value)
		out, err := cmd.CombinedOutput()
		switch {
		case strings.Contains(string(out), "database space exceeded"):
			return
		case err != nil:
			c.t.Fatalf("fill etcd: %v\n%s", err, out)
		}
	}
	c.t.Fatalf("fill etcd: it takes %d values of a megabyte; start it with a smaller quota", maxFillers)
}

// maxFillers is over twice the quota that Fill expects, in megabytes.
const maxFillers = 64

// MakeRoom does what etcd's documentation says to do about the NOSPACE alarm: it drops what
// Fill has put and the history, gives the space back and disarms the alarm.
func (c *EtcdMembers) MakeRoom() {
	c.t.Helper()
	c.Ctl("del", fillerKey)
	var reply struct{ Header struct{ Revision int64 } }
	if err := json.Unmarshal([]byte(c.Ctl("get", fillerKey, "--write-out=json")), &reply); err != nil {
		c.t.Fatalf("ask etcd for its revision: %v", err)
	}
	c.Ctl("compact", strconv.FormatInt(reply.Header.Revision, 10), "--physical")
	c.Ctl("defrag")
	c.Ctl("alarm", "disarm")
}

// ctlArgs returns the arguments of etcdctl for these endpoints: as root if users are checked,
// and with more time than it takes by itself, 2 and 5 s, which is too little on a busy machine.
func (c *EtcdMembers) ctlArgs(endpoints string, args ...string) []string {
	all := []string{"--endpoints=" + endpoints, "--dial-timeout=30s", "--command-timeout=60s"}
	if c.password != "" {
		all = append(all, "--user=root:"+c.password)
	}
	return append(all, args...)
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
