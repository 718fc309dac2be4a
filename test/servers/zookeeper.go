package servers

import (
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Where Debian puts ZooKeeper, and the logger that prints to standard error.
const zooKeeperClasses = "/usr/share/java/zookeeper.jar:/usr/share/java/slf4j-simple.jar"

// ZooKeeperServer is one ZooKeeper server, alone or a member of a ZooKeeperCluster. Its
// methods are for one goroutine at a time, and end the test when they fail.
type ZooKeeperServer struct {
	// Address is host:port for clients. It stays the same across Restart.
	Address string

	daemon
	java  string
	flags []string // of the Java virtual machine
	dir   string   // data and configuration
}

// ZooKeeper starts a single ZooKeeper server and returns when it serves. It stops with
// the test. Each extra is a line of zoo.cfg that overrides a default, for example
// "tickTime=2000" (tests run with 500 ms, so a session may be as short as 1 s), or, if
// it begins with "-D", a system property: "-Djute.maxbuffer=65536".
func ZooKeeper(t testing.TB, extra ...string) *ZooKeeperServer {
	t.Helper()
	return newZooKeeper(t, 1, extra).Members[0]
}

// Restart starts the server again after Kill or Stop, with the same data and ports,
// and returns when it serves: a member needs a majority for that. A server that still
// runs is killed first.
func (s *ZooKeeperServer) Restart() {
	s.t.Helper()
	s.Kill()
	if err := errors.Join(s.launch(), s.awaitReady()); err != nil {
		s.t.Fatalf("restart zookeeper: %v", err)
	}
}

// Backup copies the data directory to another one, for PutBack. The server is down
// meanwhile.
func (s *ZooKeeperServer) Backup() (dir string) {
	s.t.Helper()
	dir = filepath.Join(s.t.TempDir(), "backup")
	s.Stop()
	if err := os.CopyFS(dir, os.DirFS(s.dataDir())); err != nil {
		s.t.Fatalf("back zookeeper up: %v", err)
	}
	s.Restart()
	return dir
}

// PutBack kills the server, a single one, puts a copy of Backup in the place of its data, and
// starts it again. Versions after the backup are given a second time.
func (s *ZooKeeperServer) PutBack(dir string) {
	s.t.Helper()
	s.Kill()
	if err := errors.Join(os.RemoveAll(s.dataDir()), os.CopyFS(s.dataDir(), os.DirFS(dir))); err != nil {
		s.t.Fatalf("put zookeeper's data back: %v", err)
	}
	s.Restart()
}

// Mode is what the server says it is: "standalone", "leader" or "follower"; "" while it
// does not serve.
func (s *ZooKeeperServer) Mode() string {
	for line := range strings.Lines(s.Ask("srvr")) {
		if mode, ok := strings.CutPrefix(line, "Mode: "); ok {
			return strings.TrimSpace(mode)
		}
	}
	return ""
}

// Ask sends one of ZooKeeper's four-letter commands and returns the answer, "" if there
// is none within a second.
func (s *ZooKeeperServer) Ask(command string) string {
	conn, err := net.DialTimeout("tcp", s.Address, time.Second)
	if err != nil {
		return ""
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(time.Second)); err != nil {
		return ""
	}
	if _, err := io.WriteString(conn, command); err != nil {
		return ""
	}
	answer, err := io.ReadAll(conn)
	if err != nil {
		return ""
	}
	return string(answer)
}

// configure writes zoo.cfg. peers are the server.N lines of an ensemble.
func (s *ZooKeeperServer) configure(port, id int, peers, extra []string) error {
	s.Address = net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	lines := []string{
		"tickTime=500", "initLimit=20", "syncLimit=10", "maxClientCnxns=0", "admin.enableServer=false",
		"4lw.commands.whitelist=*", "clientPortAddress=127.0.0.1", "clientPort=" + strconv.Itoa(port), "dataDir=" + s.dataDir(),
	}
	s.flags = nil
	for _, e := range extra {
		if strings.HasPrefix(e, "-D") {
			s.flags = append(s.flags, e)
		} else {
			lines = append(lines, e) // the last line of a name counts
		}
	}
	if err := os.MkdirAll(s.dataDir(), 0o700); err != nil {
		return err
	}
	return errors.Join(
		os.WriteFile(filepath.Join(s.dataDir(), "myid"), []byte(strconv.Itoa(id)), 0o600),
		os.WriteFile(filepath.Join(s.dir, "zoo.cfg"), []byte(strings.Join(append(lines, peers...), "\n")), 0o600),
	)
}

func (s *ZooKeeperServer) dataDir() string { return filepath.Join(s.dir, "data") }

// launch starts the process and waits for nothing.
func (s *ZooKeeperServer) launch() error {
	args := append([]string{
		"-Xms64m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", // for a quick start
		"-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-Dorg.slf4j.simpleLogger.showDateTime=true",
		// These two say a line about every connection.
		"-Dorg.slf4j.simpleLogger.log.org.apache.zookeeper.server.NIOServerCnxn=error",
		"-Dorg.slf4j.simpleLogger.log.org.apache.zookeeper.server.ZooKeeperServer=error",
	}, s.flags...)
	args = append(args, "-cp", s.dir+":"+zooKeeperClasses, "org.apache.zookeeper.server.quorum.QuorumPeerMain", filepath.Join(s.dir, "zoo.cfg"))
	return s.run(s.java, args...)
}

func (s *ZooKeeperServer) awaitReady() error { return s.proc.AwaitReady(s.ready) }

// ready also looks at the data directory, which tells this server from another one
// that took the port.
func (s *ZooKeeperServer) ready() bool {
	return s.Mode() != "" && strings.Contains(s.Ask("conf"), "dataDir="+s.dataDir()+"/")
}

// javaBinary returns the path of java and fails t if ZooKeeper can not be run.
func javaBinary(t testing.TB) string {
	t.Helper()
	for jar := range strings.SplitSeq(zooKeeperClasses, ":") {
		if _, err := os.Stat(jar); err != nil {
			t.Fatalf("the real zookeeper server is not installed (%v): run `make servers`", err)
		}
	}
	java, err := exec.LookPath("java")
	if err != nil {
		t.Fatalf("the real zookeeper server needs java: %v", err)
	}
	return java
}
