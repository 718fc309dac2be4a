package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	hcli "github.com/hashicorp/cli"
)

// reply is what the fake server answers to one kind of request.
type reply struct {
	status int
	body   string
}

// request is what the fake server was sent.
type request struct {
	line  string // method, path and query
	token string
	body  map[string]any
}

// fakeServer answers requests from a table, everything else with 404 as for an
// absent secret, and remembers what it was sent.
type fakeServer struct {
	URL     string
	replies map[string]reply // by method, path and query

	mu       sync.Mutex
	requests []request // guarded by mu
}

func newFakeServer(t *testing.T, replies map[string]reply) *fakeServer {
	t.Helper()
	f := &fakeServer{replies: replies}
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	f.URL = server.URL
	return f
}

func (f *fakeServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	line := r.Method + " " + r.URL.RequestURI()
	body := map[string]any(nil)
	if raw, err := io.ReadAll(r.Body); err == nil && len(raw) > 0 {
		if err := json.Unmarshal(raw, &body); err != nil {
			http.Error(w, `{"errors":["bad JSON"]}`, http.StatusBadRequest)
			return
		}
	}
	f.mu.Lock()
	f.requests = append(f.requests, request{line: line, token: r.Header.Get("X-Vault-Token"), body: body})
	f.mu.Unlock()
	answer, ok := f.replies[line]
	if !ok {
		answer = reply{status: http.StatusNotFound, body: `{"errors":[]}`}
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(answer.status)
	fmt.Fprint(w, answer.body)
}

// last is the last request, which the test fails without.
func (f *fakeServer) last(t *testing.T) request {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.requests) == 0 {
		t.Fatal("the server got no request")
	}
	return f.requests[len(f.requests)-1]
}

// count is the number of requests so far.
func (f *fakeServer) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.requests)
}

// user is somebody who runs commands: an environment and a standard input.
type user struct {
	env   map[string]string
	stdin io.Reader
}

// newUser has a token and an empty home.
func newUser(t *testing.T, address string) *user {
	return &user{
		env:   map[string]string{"HOLDFAST_ADDR": address, "HOLDFAST_TOKEN": "root-token", "HOME": t.TempDir()},
		stdin: strings.NewReader(""),
	}
}

// result is what a command left behind.
type result struct {
	code           int
	stdout, stderr string
}

func (u *user) run(t *testing.T, args ...string) result {
	t.Helper()
	var stdout, stderr strings.Builder
	dispatcher := &hcli.CLI{
		Name: "holdfast",
		Args: args,
		Commands: Commands(t.Context(), Env{
			Getenv:  func(name string) string { return u.env[name] },
			Stdin:   u.stdin,
			Stdout:  &stdout,
			Stderr:  &stderr,
			Version: "1.2.3",
		}),
		HelpWriter:  &stdout,
		ErrorWriter: &stderr,
	}
	code, err := dispatcher.Run()
	if err != nil {
		t.Fatalf("holdfast %s: %v", strings.Join(args, " "), err)
	}
	return result{code: code, stdout: stdout.String(), stderr: stderr.String()}
}

// mustRun fails the test unless the command succeeds.
func (u *user) mustRun(t *testing.T, args ...string) result {
	t.Helper()
	got := u.run(t, args...)
	if got.code != exitOK {
		t.Fatalf("holdfast %s: exit code %d, stderr:\n%s", strings.Join(args, " "), got.code, got.stderr)
	}
	return got
}

// wantLines fails the test unless text has each of the lines, in this order. Runs
// of spaces count as one.
func wantLines(t *testing.T, text string, lines ...string) {
	t.Helper()
	rest := strings.Split(text, "\n")
	for _, want := range lines {
		for {
			if len(rest) == 0 {
				t.Fatalf("no line %q (in this order) in:\n%s", want, text)
			}
			got := strings.Join(strings.Fields(rest[0]), " ")
			rest = rest[1:]
			if got == want {
				break
			}
		}
	}
}
