package e2e

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/holdfast/holdfast/test/harness"
	"github.com/holdfast/holdfast/test/process"
)

// TestDevServer runs the scripts in testdata/dev: the development server as a newcomer
// meets it, with the client commands and with plain HTTP. A script has $ADDR, a free
// host:port, and besides exec these commands:
//
//	server FLAG...               starts "holdfast server FLAG..."; one in each script
//	await PATTERN                waits until the server has printed PATTERN
//	printed PATTERN FILE         keeps what the parentheses of PATTERN match in that output
//	export                       runs the export lines that the server has printed
//	signal NAME                  sends the server INT or TERM
//	ended CODE                   waits until the server ends, with that exit code
//	exits CODE PROGRAM ARG...    runs a program that ends with exactly that exit code
//	eventually PATTERN PROGRAM   runs a program again until it prints PATTERN
//	http METHOD PATH CODE [BODY] sends a request with the exported token, as curl would
func TestDevServer(t *testing.T) {
	bin := harness.Binaries(t)
	testscript.Run(t, testscript.Params{
		Dir:                "testdata/dev",
		RequireUniqueNames: true,
		Setup: func(env *testscript.Env) error {
			port, err := process.FreeBlock(2)
			if err != nil {
				return err
			}
			home := filepath.Join(env.WorkDir, "home")
			env.Setenv("ADDR", fmt.Sprintf("127.0.0.1:%d", port))
			env.Setenv("PATH", bin+string(os.PathListSeparator)+os.Getenv("PATH"))
			env.Setenv("HOME", home)
			name, value, _ := strings.Cut(quickExit, "=")
			env.Setenv(name, value)
			env.Values[devServerKey{}] = &devServer{t: t}
			return os.Mkdir(home, 0o700)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"server":     scriptServer,
			"await":      scriptAwait,
			"printed":    scriptPrinted,
			"export":     scriptExport,
			"signal":     scriptSignal,
			"ended":      scriptEnded,
			"exits":      scriptExits,
			"eventually": scriptEventually,
			"http":       scriptHTTP,
		},
	})
}

// devServer is the server of one script.
type devServer struct {
	t       testing.TB // of all scripts
	process *process.Process
	output  string // path
}

type devServerKey struct{}

func serverOf(ts *testscript.TestScript) *devServer {
	s, ok := ts.Value(devServerKey{}).(*devServer)
	if !ok || s.process == nil {
		ts.Fatalf("the script has no server yet")
	}
	return s
}

// wantArgs ends a script that misuses a command.
func wantArgs(ts *testscript.TestScript, neg, ok bool, usage string) {
	if neg || !ok {
		ts.Fatalf("usage: %s", usage)
	}
}

func scriptServer(ts *testscript.TestScript, neg bool, args []string) {
	wantArgs(ts, neg, len(args) > 0, "server FLAG...")
	s, _ := ts.Value(devServerKey{}).(*devServer)
	s.output = ts.MkAbs("server.stdout")
	var err error
	s.process, err = process.Start(s.output, ts.MkAbs("server.stderr"), []string{quickExit, "HOME=" + ts.Getenv("HOME")},
		filepath.Join(filepath.SplitList(ts.Getenv("PATH"))[0], "holdfast"), append([]string{"server"}, args...)...)
	ts.Check(err)
	ts.Defer(func() {
		s.process.Stop()
		log := ts.ReadFile("server.stderr")
		ts.Logf("the server's log:\n%s", log)
		harness.CheckRaces(s.t, "a development server", log)
	})
}

// poll calls try until it is true.
func poll(ts *testscript.TestScript, what string, try func() bool) {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(harness.Patience); !try(); <-tick.C {
		if time.Now().After(deadline) {
			ts.Fatalf("%s: not within %v", what, harness.Patience)
		}
	}
}

func scriptAwait(ts *testscript.TestScript, neg bool, args []string) {
	wantArgs(ts, neg, len(args) == 1, "await PATTERN")
	s, pattern := serverOf(ts), regexp.MustCompile("(?m)"+args[0])
	poll(ts, "the server prints "+args[0], func() bool {
		ended := s.process.Ended()
		if pattern.MatchString(ts.ReadFile(s.output)) {
			return true
		}
		if ended {
			ts.Fatalf("the server ended with exit code %d", s.process.ExitCode())
		}
		return false
	})
	_, _ = io.WriteString(ts.Stdout(), ts.ReadFile(s.output)) // into a buffer
}

func scriptPrinted(ts *testscript.TestScript, neg bool, args []string) {
	wantArgs(ts, neg, len(args) == 2, "printed PATTERN FILE")
	match := regexp.MustCompile("(?m)" + args[0]).FindStringSubmatch(ts.ReadFile(serverOf(ts).output))
	if len(match) != 2 {
		ts.Fatalf("the server has not printed %s, with one pair of parentheses", args[0])
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(match[1]+"\n"), 0o600))
}

var exportLine = regexp.MustCompile(`(?m)^\s*\$ export (\w+)='(.*)'$`)

func scriptExport(ts *testscript.TestScript, neg bool, args []string) {
	wantArgs(ts, neg, len(args) == 0, "export")
	lines := exportLine.FindAllStringSubmatch(ts.ReadFile(serverOf(ts).output), -1)
	if len(lines) == 0 {
		ts.Fatalf("the server has printed no export lines")
	}
	for _, line := range lines {
		ts.Setenv(line[1], line[2])
	}
}

func scriptSignal(ts *testscript.TestScript, neg bool, args []string) {
	signals := map[string]syscall.Signal{"INT": syscall.SIGINT, "TERM": syscall.SIGTERM}
	wantArgs(ts, neg, len(args) == 1 && signals[args[0]] != 0, "signal INT|TERM")
	ts.Check(serverOf(ts).process.Signal(signals[args[0]]))
}

func scriptEnded(ts *testscript.TestScript, neg bool, args []string) {
	wantArgs(ts, neg, len(args) == 1, "ended CODE")
	s := serverOf(ts)
	poll(ts, "the server ends", s.process.Ended)
	if got := strconv.Itoa(s.process.ExitCode()); got != args[0] {
		ts.Fatalf("the server ended with exit code %s, want %s", got, args[0])
	}
}

// runProgram runs a program with the environment of the script and shows what it prints.
func runProgram(ts *testscript.TestScript, args []string) (stdout string, code int) {
	err := ts.Exec(args[0], args[1:]...)
	stdout = ts.ReadFile("stdout")
	if err == nil {
		return stdout, 0
	}
	exit, ok := errors.AsType[*exec.ExitError](err)
	if !ok {
		ts.Fatalf("run %s: %v", args[0], err)
	}
	return stdout, exit.ExitCode()
}

func scriptExits(ts *testscript.TestScript, neg bool, args []string) {
	wantArgs(ts, neg, len(args) > 1, "exits CODE PROGRAM ARG...")
	if _, got := runProgram(ts, args[1:]); strconv.Itoa(got) != args[0] {
		ts.Fatalf("%q: exit code %d, want %s", args[1:], got, args[0])
	}
}

func scriptEventually(ts *testscript.TestScript, neg bool, args []string) {
	wantArgs(ts, neg, len(args) > 1, "eventually PATTERN PROGRAM ARG...")
	pattern := regexp.MustCompile("(?m)" + args[0])
	poll(ts, fmt.Sprintf("%q prints %s", args[1:], args[0]), func() bool {
		stdout, _ := runProgram(ts, args[1:])
		return pattern.MatchString(stdout)
	})
}

func scriptHTTP(ts *testscript.TestScript, neg bool, args []string) {
	wantArgs(ts, neg, len(args) == 3 || len(args) == 4, "http METHOD PATH CODE [BODY]")
	var body io.Reader
	if len(args) == 4 {
		body = strings.NewReader(args[3])
	}
	req, err := http.NewRequest(args[0], ts.Getenv("HOLDFAST_ADDR")+args[1], body)
	ts.Check(err)
	req.Header.Set("X-Vault-Token", ts.Getenv("HOLDFAST_TOKEN"))
	client := http.Client{Timeout: harness.Patience, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	ts.Check(err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	ts.Check(err)
	_, _ = ts.Stdout().Write(text) // into a buffer
	if got := strconv.Itoa(resp.StatusCode); got != args[2] {
		ts.Fatalf("%s %s: %s %s, want %s", args[0], args[1], got, text, args[2])
	}
}
