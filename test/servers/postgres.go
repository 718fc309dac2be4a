package servers

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/holdfast/holdfast/test/process"
)

const (
	// Where Debian puts PostgreSQL; the star is its major version.
	postgresBinaries = "/usr/lib/postgresql/*/bin"
	// postgresUser runs the server where the tests are root's, for whom it refuses to run.
	postgresUser = "postgres"
)

// PostgreSQLServer is one PostgreSQL server with an empty database. Its methods are for one
// goroutine at a time, and end the test when they fail.
type PostgreSQLServer struct {
	// Address is host:port. It stays the same across Restart.
	Address string
	// User owns the database, Database, and has the password Password.
	User, Password, Database string

	daemon
	bin  string // directory of the programs
	dir  string // data and password; belongs to whoever runs the server
	port int
}

// PostgreSQL starts a PostgreSQL server on loopback and returns when it serves. It stops with
// the test. Nothing waits for the disk: what a killed process wrote is in the kernel.
func PostgreSQL(t testing.TB) *PostgreSQLServer {
	t.Helper()
	s := &PostgreSQLServer{
		User: "holdfast", Password: "not-a-real-password", Database: "postgres", // the one that initdb creates
		daemon: daemon{t: t, logPath: filepath.Join(t.ArtifactDir(), "postgres.log")},
		bin:    postgresDirectory(t),
	}
	t.Cleanup(s.cleanup)
	if err := s.initialise(); err != nil {
		t.Fatalf("create a PostgreSQL database: %v", err)
	}
	startAll(t, "postgres", s.start, s.Kill)
	return s
}

// URL is how a client connects.
func (s *PostgreSQLServer) URL() string {
	return fmt.Sprintf("postgres://%s:%s@%s/%s?sslmode=disable", s.User, s.Password, s.Address, s.Database)
}

// Kill ends the server and all of its processes at once, and writes nothing more. The data
// stays for Restart.
func (s *PostgreSQLServer) Kill() {
	if s.proc != nil {
		// Not SIGKILL, which would leave its processes and its shared memory behind.
		_ = s.proc.Signal(syscall.SIGQUIT)
		s.proc.Stop()
	}
}

// Restart starts the server again after Kill, with the same data and port, and returns when it
// serves. A server that still runs is killed first.
func (s *PostgreSQLServer) Restart() {
	s.t.Helper()
	s.Kill()
	if err := errors.Join(s.launch(), s.proc.AwaitReady(s.ready)); err != nil {
		s.t.Fatalf("restart postgres: %v", err)
	}
}

func (s *PostgreSQLServer) cleanup() {
	s.Kill()
	s.daemon.cleanup()
	if err := os.RemoveAll(s.dir); err != nil {
		s.t.Errorf("remove the data of postgres: %v", err)
	}
}

// initialise creates the database. Not below t.TempDir, which is nobody's but this user's.
func (s *PostgreSQLServer) initialise() (err error) {
	if s.dir, err = os.MkdirTemp("", "holdfast-postgres-"); err != nil {
		return err
	}
	password := filepath.Join(s.dir, "password")
	if err := os.WriteFile(password, []byte(s.Password), 0o600); err != nil {
		return err
	}
	if os.Geteuid() == 0 {
		uid, gid, err := idsOf(postgresUser)
		if err := errors.Join(err, os.Chown(s.dir, uid, gid), os.Chown(password, uid, gid)); err != nil {
			return err
		}
	}
	if err := s.runAs("initdb", "--pgdata="+s.dataDir(), "--username="+s.User, "--pwfile="+password,
		"--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions"); err != nil {
		return err
	}
	return s.proc.Err()
}

func (s *PostgreSQLServer) dataDir() string { return filepath.Join(s.dir, "data") }

// start chooses a port and starts the server on it.
func (s *PostgreSQLServer) start() error {
	ports, err := process.FreePorts(1)
	if err != nil {
		return err
	}
	s.port = ports[0]
	s.Address = net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port))
	if err := s.launch(); err != nil {
		return err
	}
	return s.proc.AwaitReady(s.ready)
}

// launch starts the process and waits for nothing.
func (s *PostgreSQLServer) launch() error {
	return s.runAs("postgres", "-D", s.dataDir(), "-h", "127.0.0.1", "-p", strconv.Itoa(s.port), "-k", "", // no unix socket
		"-c", "fsync=off", "-c", "max_connections=500", "-c", "shared_buffers=32MB", "-c", "log_line_prefix=%m [%p] ")
}

// ready looks at the file by which the server says that it serves, and which one it is.
func (s *PostgreSQLServer) ready() bool {
	text, err := os.ReadFile(filepath.Join(s.dataDir(), "postmaster.pid"))
	if err != nil {
		return false
	}
	lines := strings.Split(string(text), "\n")
	return lines[0] == strconv.Itoa(s.PID()) && len(lines) > 7 && strings.TrimSpace(lines[7]) == "ready"
}

// runAs starts one of PostgreSQL's programs as a user who may, in a process of this test that
// dies with it.
func (s *PostgreSQLServer) runAs(program string, args ...string) error {
	path := filepath.Join(s.bin, program)
	if os.Geteuid() != 0 {
		return s.run(path, args...)
	}
	setpriv, err := exec.LookPath("setpriv")
	if err != nil {
		return fmt.Errorf("run PostgreSQL as user %s (package util-linux): %w", postgresUser, err)
	}
	// The kernel forgets with the user that the process is to die with its parent.
	options := []string{"--reuid=" + postgresUser, "--regid=" + postgresUser, "--init-groups", "--pdeathsig=QUIT", path}
	return s.run(setpriv, append(options, args...)...)
}

// idsOf returns the numbers of a user and their group.
func idsOf(name string) (uid, gid int, err error) {
	u, err := user.Lookup(name)
	if err != nil {
		return 0, 0, err
	}
	uid, uidErr := strconv.Atoi(u.Uid)
	gid, gidErr := strconv.Atoi(u.Gid)
	return uid, gid, errors.Join(uidErr, gidErr)
}

// postgresDirectory returns where the programs of the newest PostgreSQL are, and fails t if
// there is none.
func postgresDirectory(t testing.TB) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(postgresBinaries, "initdb"))
	if err != nil || len(found) == 0 {
		t.Fatalf("the real postgres server is not installed below %s: run `make servers`", postgresBinaries)
	}
	return filepath.Dir(slices.Max(found))
}
