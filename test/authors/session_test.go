package authors

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/holdfast/holdfast/test/harness"
	"github.com/holdfast/holdfast/test/process"
)

// session is what an author has in front of him: a shell whose directory and exported variables
// live on from block to block, and more terminals.
type session struct {
	t       *testing.T
	dir     string // of the state and the outputs
	env     []string
	ports   *strings.Replacer // the ports of the guide by free ones
	printed func() string     // by the last block that ran
	blocks  int
}

// newSession begins in an empty directory, with bin on the PATH. Nothing can be downloaded.
func newSession(t *testing.T, bin string) *session {
	t.Helper()
	s := &session{t: t, dir: t.TempDir(), ports: freePorts(t)}
	home, work := filepath.Join(s.dir, "home"), filepath.Join(s.dir, "work")
	for _, dir := range []string{home, work} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	s.env = append(goEnvironment(t), "GOPROXY=off", "GOTOOLCHAIN=local", "GOTMPDIR="+s.dir,
		"PATH="+bin+string(os.PathListSeparator)+os.Getenv("PATH"), "HOME="+home, "TMPDIR="+dataDirectory(t),
		"GORACE=atexit_sleep_ms=0")
	s.write("state", "cd "+work+"\n")
	return s
}

// goEnvironment is what makes the go command use the caches of this machine, though HOME is another.
func goEnvironment(t *testing.T) []string {
	t.Helper()
	names := []string{"GOCACHE", "GOMODCACHE", "GOPATH", "GOFLAGS"}
	out, err := exec.CommandContext(t.Context(), "go", append([]string{"env"}, names...)...).Output()
	if err != nil {
		t.Fatalf("go env: %v", err)
	}
	var env []string
	values := strings.Split(string(out), "\n")
	for i, name := range names {
		env = append(env, name+"="+values[i])
	}
	return env
}

// dataDirectory is where the data is: in memory where that can be had, for the thousands of writes of the
// suite, each durable, take a minute on a slow disk.
func dataDirectory(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "authors-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// freePorts replaces the addresses of the guide. A server also listens on the next port.
func freePorts(t *testing.T) *strings.Replacer {
	t.Helper()
	var pairs []string
	for _, address := range []string{"127.0.0.1:8200", "127.0.0.1:8210"} {
		port, err := process.FreeBlock(2)
		if err != nil {
			t.Fatal(err)
		}
		pairs = append(pairs, address, fmt.Sprintf("127.0.0.1:%d", port))
	}
	return strings.NewReplacer(pairs...)
}

// start runs commands in the state that the last script left, and returns where they print.
func (s *session) start(commands string) (*process.Process, string) {
	s.t.Helper()
	s.blocks++
	path := filepath.Join(s.dir, fmt.Sprintf("output-%d", s.blocks))
	s.printed = func() string { return s.read(filepath.Base(path)) }
	proc, err := process.Start(path, path, s.env, "bash", "-euo", "pipefail", "-c", ". "+filepath.Join(s.dir, "state")+"\n"+commands)
	if err != nil {
		s.t.Fatal(err)
	}
	return proc, path
}

// run runs the block to its end.
func (s *session) run(b block) {
	s.t.Helper()
	state := filepath.Join(s.dir, "state")
	proc, _ := s.start(s.ports.Replace(b.text) + "{ export -p; echo cd \"$PWD\"; } >" + state + ".new; mv " + state + ".new " + state + "\n")
	select {
	case <-proc.Done():
	case <-s.t.Context().Done():
		proc.Kill()
	}
	if err := proc.Err(); err != nil {
		s.t.Fatalf("line %d of the guide: %v:\n%s\nprinted:\n%s", b.line, err, b.text, s.printed())
	}
}

// goOn starts the block, one command, which ends with the test.
func (s *session) goOn(b block) {
	s.t.Helper()
	proc, path := s.start("exec " + s.ports.Replace(b.text))
	s.t.Cleanup(func() {
		proc.Stop()
		printed := s.read(filepath.Base(path))
		harness.CheckRaces(s.t, strings.TrimSpace(b.text), printed)
		if s.t.Failed() {
			s.t.Logf("line %d of the guide: %s:\n%s", b.line, b.text, printed)
		}
	})
}

// expect waits until the block before has printed what b says: one that goes on takes its time.
func (s *session) expect(b block) {
	s.t.Helper()
	harness.Eventually(s.t, fmt.Sprintf("line %d of the guide is printed", b.line), func() error {
		if line, found := b.missing(s.printed()); found {
			return fmt.Errorf("no %q in\n%s", line, s.printed())
		}
		return nil
	})
}

// workDir is the directory of the shell.
func (s *session) workDir() string {
	s.t.Helper()
	lines := strings.Split(strings.TrimSpace(s.read("state")), "\n")
	dir, ok := strings.CutPrefix(lines[len(lines)-1], "cd ")
	if !ok {
		s.t.Fatal(errors.New("the shell did not leave its directory"))
	}
	return dir
}

func (s *session) read(name string) string {
	s.t.Helper()
	text, err := os.ReadFile(filepath.Join(s.dir, name))
	if err != nil {
		s.t.Fatal(err)
	}
	return string(text)
}

func (s *session) write(name, text string) {
	s.t.Helper()
	if err := os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
}
