package api_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/holdfast/holdfast/host/api"
)

func TestBadInput(t *testing.T) {
	f := newFixture(t)
	f.ok(204, "POST", "/v1/sys/mounts/secret", `{"type":"kv-v2"}`)
	f.ok(204, "POST", "/v1/sys/mounts/old", `{"type":"kv"}`)
	deep := strings.Repeat("[", 70) + strings.Repeat("]", 70)
	for _, tc := range []struct {
		name, method, target, body string
		headers                    []string
		status                     int
		want                       string // in the body
	}{
		{"no prefix", "GET", "/ui/", "", nil, 404, "/v1/"},
		{"empty path", "GET", "/v1/", "", nil, 400, "empty"},
		{"dots", "GET", "/v1/secret/../sys/mounts", "", nil, 400, `\"..\" segment`},
		{"encoded dots", "GET", "/v1/secret/%2e%2e/sys/mounts", "", nil, 400, `\"..\" segment`},
		{"one dot", "GET", "/v1/secret/./x", "", nil, 400, `\".\"`},
		{"two slashes", "GET", "/v1/secret//x", "", nil, 400, "empty segment"},
		{"encoded slash", "GET", "/v1/secret%2Fdata/x", "", nil, 400, "encoded slash"},
		{"NUL", "GET", "/v1/old/a%00b", "", nil, 400, "can not be printed"},
		{"line feed", "GET", "/v1/old/a%0ab", "", nil, 400, "can not be printed"},
		{"not UTF-8", "GET", "/v1/old/a%ffb", "", nil, 400, "can not be printed"},
		{"long", "PUT", "/v1/old/" + strings.Repeat("x", 1100), `{}`, nil, 400, "invalid key"},
		{"longer", "PUT", "/v1/old/" + strings.Repeat("x", 3000), `{}`, nil, 400, "longer than"},
		{"method", "OPTIONS", "/v1/old/x", "", nil, 405, "unsupported method"},
		{"query", "GET", "/v1/old/x?a=%zz", "", nil, 400, "query"},
		{"list", "GET", "/v1/old/x?list=maybe", "", nil, 400, "list"},
		{"no token", "GET", "/v1/old/x", "", []string{"X-Vault-Token", ""}, 403, `{"errors":["permission denied"]}`},
		{"wrong token", "GET", "/v1/old/x", "", []string{"X-Vault-Token", "hvs.wrong"}, 403, `{"errors":["permission denied"]}`},
		{"wrong token, unknown path", "GET", "/v1/nope", "", []string{"X-Vault-Token", "x"}, 403, "permission denied"},
		{"not JSON", "PUT", "/v1/old/x", `{"a":`, nil, 400, "not valid JSON"},
		{"bad UTF-8", "PUT", "/v1/old/x", "{\"a\":\"\xff\"}", nil, 400, "not valid JSON"},
		{"two values", "PUT", "/v1/old/x", `{} {}`, nil, 400, "not valid JSON"},
		{"array", "PUT", "/v1/old/x", `[1]`, nil, 400, "not a JSON object"},
		{"deep", "PUT", "/v1/old/x", `{"a":` + deep + `}`, nil, 400, "deeper"},
		{"no body", "PUT", "/v1/old/x", "", nil, 400, "missing data"},
		{"patch type", "PATCH", "/v1/secret/data/x", `{}`, []string{"Content-Type", "application/json"}, 415, "merge-patch"},
		{"patch of v1", "PATCH", "/v1/old/x", `{}`, []string{"Content-Type", "application/merge-patch+json"}, 405, "unsupported"},
		{"consistency", "GET", "/v1/old/x", "", []string{"X-Holdfast-Consistency", "lax"}, 400, "strict"},
		{"wrapping", "GET", "/v1/old/x", "", []string{"X-Vault-Wrap-TTL", "1m"}, 400, "wrapping"},
		{"namespace", "GET", "/v1/old/x", "", []string{"X-Vault-Namespace", "ns"}, 400, "namespaces"},
		{"nothing mounted", "GET", "/v1/nope/x", "", nil, 404, "nothing is mounted"},
		{"no such endpoint", "GET", "/v1/sys/policies/acl", "", nil, 404, "has no sys/policies/acl"},
		{"mount root", "GET", "/v1/old", "", nil, 405, "unsupported"},
		{"v2 without data/", "GET", "/v1/secret/x", "", nil, 404, "data/"},
		{"version", "GET", "/v1/secret/data/x?version=one", "", nil, 400, "version"},
		{"no data", "PUT", "/v1/secret/data/x", `{"options":{}}`, nil, 400, "no data provided"},
		{"cas type", "PUT", "/v1/secret/data/x", `{"data":{},"options":{"cas":1.5}}`, nil, 400, "whole number"},
		{"data type", "PUT", "/v1/secret/data/x", `{"data":"text"}`, nil, 400, "not a JSON object"},
		{
			"cas", "PUT", "/v1/secret/data/x", `{"data":{},"options":{"cas":4}}`, nil, 400,
			`["check-and-set parameter did not match the current version"]`,
		},
		{"no versions", "PUT", "/v1/secret/destroy/x", `{}`, nil, 400, "no version number"},
		{"versions", "PUT", "/v1/secret/destroy/x", `{"versions":["x"]}`, nil, 400, "whole number"},
		{"duration", "PUT", "/v1/secret/config", `{"delete_version_after":"soon"}`, nil, 400, "duration"},
		{"mount type", "POST", "/v1/sys/mounts/x", `{"type":"pki"}`, nil, 400, "not supported"},
		{"mount twice", "POST", "/v1/sys/mounts/old", `{"type":"kv"}`, nil, 400, "path is already in use at old/"},
		{"reserved mount", "POST", "/v1/sys/mounts/sys/x", `{"type":"kv"}`, nil, 400, "reserved"},
		{"unmount nothing", "DELETE", "/v1/sys/mounts/nope", "", nil, 400, "no such mount"},
		{"value too large", "PUT", "/v1/old/x", `{"a":"` + strings.Repeat("x", 20<<10) + `"}`, nil, 413, "the limit is 16384"},
		{"target", "PUT", "/v1/sys/step-down", `{"target":"nobody"}`, nil, 400, "no such standby"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := *f
			f.T = t
			got := f.do(tc.method, tc.target, tc.body, tc.headers...)
			if got.status != tc.status || !strings.Contains(got.body, tc.want) {
				t.Errorf("%s %.60s = %d %s, want %d and %q", tc.method, tc.target, got.status, got.body, tc.status, tc.want)
			}
			if h := got.header; h.Get("Cache-Control") != "no-store" || h.Get("Content-Type") != "application/json" {
				t.Errorf("headers = %v", h)
			}
		})
	}
}

func TestBodyLimit(t *testing.T) {
	f := newFixture(t)
	big := `{"a":"` + strings.Repeat("x", api.DefaultMaxRequestSize) + `"}`
	for name, body := range map[string]io.Reader{
		"with a length": strings.NewReader(big),
		"chunked":       io.MultiReader(strings.NewReader(big)),
	} {
		for _, path := range []string{"/v1/secret/data/x", "/v1/sys/init"} {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, f.server.URL+path, body)
			if err != nil {
				t.Fatal(err)
			}
			w := httptest.NewRecorder()
			f.server.Config.Handler.ServeHTTP(w, req)
			if w.Code != http.StatusRequestEntityTooLarge || !strings.Contains(w.Body.String(), "1048576 bytes") {
				t.Errorf("%s to %s: %d %s, want 413", name, path, w.Code, w.Body)
			}
			body = strings.NewReader(big)
		}
	}
}

// Requests that no well-behaved client can send.
func TestRawRequests(t *testing.T) {
	f := newFixture(t)
	address := strings.TrimPrefix(f.server.URL, "http://")
	for request, want := range map[string]string{
		"GET /v1/a/../sys/health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n":                               "400",
		"GET /v1/a%zz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n":                                          "400",
		"GET * HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n":                                                 "40",
		"PUT /v1/a/b HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 9\r\n\r\n{\"a\":1}\r\n":         "403",
		"PUT /v1/a/b HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n": "400",
	} {
		conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(conn, request); err != nil {
			t.Fatal(err)
		}
		answer, err := io.ReadAll(conn)
		if err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 "+want) {
			t.Errorf("%q: %.60q, %v, want %s", request, answer, err, want)
		}
		conn.Close()
	}
}

func TestNoForwarding(t *testing.T) {
	f := newFixture(t)
	f.node.setStatus(func(s *api.Status) { s.Role = api.RoleStandby })
	const target = "/v1/secret/data/a%20b?version=2"
	got := f.ok(307, "GET", target, "", "X-Vault-No-Request-Forwarding", "true")
	if want := "http://active:8200" + target; got.header.Get("Location") != want || got.body != "" {
		t.Errorf("redirect to %q, body %q; want %q and none", got.header.Get("Location"), got.body, want)
	}
	f.node.setStatus(func(s *api.Status) { s.LeaderAPIAddr = "" })
	got = f.ok(503, "GET", target, "", "X-Vault-No-Request-Forwarding", "true")
	if got.header.Get("Retry-After") == "" {
		t.Error("503 without Retry-After")
	}
}

func TestSealed(t *testing.T) {
	f := newFixture(t)
	f.ok(403, "PUT", "/v1/sys/seal", "", "X-Vault-Token", "wrong")
	f.ok(204, "PUT", "/v1/sys/seal", "")
	for _, path := range []string{"/v1/secret/x", "/v1/sys/mounts", "/v1/sys/leader", "/v1/auth/token/lookup-self"} {
		if got := f.ok(503, "GET", path, ""); got.body != `{"errors":["Vault is sealed"]}` {
			t.Errorf("GET %s = %s", path, got.body)
		}
	}
	f.ok(200, "GET", "/v1/sys/seal-status", "")
}

func TestPanicIsOneAnswer(t *testing.T) {
	f := newFixture(t)
	f.node.route = func(context.Context, *api.Request) *api.Response { panic("a secret in a panic") }
	var log strings.Builder
	handler := api.New(api.Config{Node: f.node, Logger: hclog.New(&hclog.LoggerOptions{Output: &log})})
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, httptest.NewRequest(http.MethodPut, "/v1/a/b", strings.NewReader(`{"a":"hidden"}`)))
	if w.Code != http.StatusInternalServerError || !strings.Contains(w.Body.String(), "errors") {
		t.Errorf("%d %s, want 500", w.Code, w.Body)
	}
	if !strings.Contains(log.String(), "panic while serving") || strings.Contains(log.String(), "a secret in") {
		t.Errorf("log = %s", log.String())
	}
}

func TestTooManyRequestsInFlight(t *testing.T) {
	f := newFixture(t)
	entered, leave := make(chan struct{}), make(chan struct{})
	f.node.route = func(context.Context, *api.Request) *api.Response {
		close(entered)
		<-leave
		return &api.Response{Status: http.StatusNoContent}
	}
	handler := api.New(api.Config{Node: f.node, Logger: hclog.NewNullLogger(), MaxInFlight: 1})
	first := make(chan int)
	go func() {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/v1/a/b", nil))
		first <- w.Code
	}()
	<-entered
	for path, want := range map[string]int{"/v1/a/b": 503, "/v1/sys/health": 200} {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		if w.Code != want {
			t.Errorf("GET %s beside a full server = %d, want %d", path, w.Code, want)
		}
	}
	close(leave)
	if code := <-first; code != http.StatusNoContent {
		t.Errorf("the request in flight = %d, want 204", code)
	}
}

func FuzzParsePath(f *testing.F) {
	for _, seed := range []string{"/v1/a/b", "/v1/a%20b/", "/v1/%2e%2e", "/v1/a//b", "/v1/%2f", "/v1/é", "/v1/a%", "v1/x", "/v1/.%2e/a"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, escaped string) {
		path, err := api.ParsePath(escaped)
		if err != nil {
			return // refusing is fine; meaning another path is not
		}
		clean, err := url.JoinPath("/", strings.ReplaceAll(url.PathEscape(strings.TrimSuffix(path, "/")), "%2F", "/"))
		if err != nil {
			t.Fatal(err)
		}
		if decoded, err := url.PathUnescape(clean); err != nil || decoded != "/"+strings.TrimSuffix(path, "/") {
			t.Errorf("%q means %q, which is not clean: %q, %v", escaped, path, decoded, err)
		}
		again, err := api.ParsePath((&url.URL{Path: "/v1/" + path}).EscapedPath())
		if err != nil || again != path {
			t.Errorf("%q -> %q -> %q, %v", escaped, path, again, err)
		}
	})
}
