// Package api is the HTTP interface: the paths below /v1/ that clients know from
// Vault. New serves it on any node, from the node's own status where that is enough;
// Logical answers what needs the data, on the active node.
package api

import (
	"context"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/holdfast/holdfast/host/internal/panics"
)

// Config of the HTTP interface. Node and Logger are required.
type Config struct {
	Node   Node
	Logger hclog.Logger

	MaxRequestSize     int64         // bytes of a body; DefaultMaxRequestSize if 0
	MaxRequestDuration time.Duration // until the request's context ends; DefaultMaxRequestDuration if 0
	MaxInFlight        int           // requests that read or write data; DefaultMaxInFlight if 0
}

// Defaults of Config.
const (
	DefaultMaxRequestSize     = 1 << 20
	DefaultMaxRequestDuration = 90 * time.Second
	DefaultMaxInFlight        = 2048
)

// server is the http.Handler that New returns.
type server struct {
	cfg      Config
	local    map[string]localHandler // by path
	inFlight chan struct{}           // one element for each request that reads or writes data
}

// localHandler answers a request on the node that received it, whatever its role.
type localHandler func(context.Context, *http.Request) *Response

// New returns the handler of all requests a node receives. It never redirects a path
// to a cleaned one: a path that is not clean is refused.
func New(cfg Config) http.Handler {
	if cfg.MaxRequestSize == 0 {
		cfg.MaxRequestSize = DefaultMaxRequestSize
	}
	if cfg.MaxRequestDuration == 0 {
		cfg.MaxRequestDuration = DefaultMaxRequestDuration
	}
	if cfg.MaxInFlight == 0 {
		cfg.MaxInFlight = DefaultMaxInFlight
	}
	s := &server{cfg: cfg, inFlight: make(chan struct{}, cfg.MaxInFlight)}
	s.local = map[string]localHandler{
		"sys/init":        s.sysInit,
		"sys/seal-status": s.sealStatus,
		"sys/unseal":      s.unseal,
		"sys/seal":        s.seal,
		"sys/health":      s.health,
		"sys/leader":      s.leader,

		"sys/accept-restore": s.acceptRestore,

		"sys/plugins/storage":        s.storagePlugin,
		"sys/plugins/storage/reload": s.reloadPlugin,
	}
	return s
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	defer func() {
		if cause := recover(); cause != nil {
			if cause == http.ErrAbortHandler { //nolint:errorlint // a panic value that net/http compares like this
				panic(cause)
			}
			logPanic(s.cfg.Logger, cause)
			write(w, failed(http.StatusInternalServerError, "internal error; the server's log has the cause"))
		}
	}()
	ctx, cancel := context.WithTimeout(r.Context(), s.cfg.MaxRequestDuration)
	defer cancel()
	// The connection survives a body that nobody read only if it is small: MaxBytesReader
	// closes it otherwise.
	r.Body = http.MaxBytesReader(w, r.Body, s.cfg.MaxRequestSize)
	write(w, s.serve(ctx, r))
}

func (s *server) serve(ctx context.Context, r *http.Request) *Response {
	req, refusal := parseHead(r)
	if refusal != nil {
		return refusal
	}
	if local, ok := s.local[strings.TrimSuffix(req.Path, "/")]; ok {
		return local(ctx, r)
	}
	status := s.cfg.Node.Status()
	if status.Sealed {
		return sealed()
	}
	active := status.Role == RoleActive || status.Role == RoleSuspended
	if !active && r.Header.Get("X-Vault-No-Request-Forwarding") != "" {
		return redirect(status.LeaderAPIAddr, r)
	}
	select {
	case s.inFlight <- struct{}{}:
		defer func() { <-s.inFlight }()
	default:
		return unavailable("too many requests in flight")
	}
	if refusal := parseBody(req, r); refusal != nil {
		return refusal
	}
	return s.cfg.Node.Route(ctx, req)
}

// redirect sends the client to the active node.
func redirect(leader string, r *http.Request) *Response {
	if leader == "" {
		return unavailable("no active node found")
	}
	location := leader + r.URL.EscapedPath()
	if r.URL.RawQuery != "" {
		location += "?" + r.URL.RawQuery
	}
	return &Response{Status: http.StatusTemporaryRedirect, Location: location}
}

func write(w http.ResponseWriter, resp *Response) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Type", "application/json")
	h.Set("X-Content-Type-Options", "nosniff")
	if resp.Location != "" {
		h.Set("Location", resp.Location)
	}
	if resp.RetryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(resp.RetryAfter))
	}
	if len(resp.Body) > 0 {
		h.Set("Content-Length", strconv.Itoa(len(resp.Body)))
	}
	w.WriteHeader(resp.Status)
	_, _ = w.Write(resp.Body) // a client that went away needs no answer
}

// logPanic logs where a panic came from.
func logPanic(logger hclog.Logger, cause any) {
	logger.Error("panic while serving a request", "cause", panics.Describe(cause), "stack", string(debug.Stack()))
}
