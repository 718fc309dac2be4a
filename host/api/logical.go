package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/holdfast/holdfast/host/auth"
	"github.com/holdfast/holdfast/host/kv"
	"github.com/holdfast/holdfast/host/mount"
	"github.com/holdfast/holdfast/host/store"
)

// Store is what Logical needs of the store. See host/store.
type Store interface {
	kv.Store
	// Begin ties what is done with the returned context to the present tenure.
	Begin(ctx context.Context) (context.Context, error)
	// Confirm returns nil once this node is known to have been active after Confirm
	// was called; strict asks the store instead of trusting the lease.
	Confirm(ctx context.Context, strict bool) error
}

// LogicalConfig is what Logical needs. Now may be nil.
type LogicalConfig struct {
	Store  Store
	Logger hclog.Logger
	Status func() Status // of this node, without blocking

	// StepDown hands the active role over, to the member that target names (by instance id,
	// hostname or API address) or, if it is empty, to any. It returns when this node is no
	// longer active. ErrUnknownTarget: there is no such standby.
	StepDown func(ctx context.Context, target string) error

	Keys Keys

	// Terms returns the history of terms, the latest first, and how many can not be read.
	Terms func(ctx context.Context) (terms []Term, unreadable int, err error)

	Now func() time.Time // the wall clock, for times in metadata; time.Now if nil
}

// ErrUnknownTarget means that a step-down named a member that can not take over.
var ErrUnknownTarget = errors.New("no such standby")

// Logical answers the requests that need the data: on the active node, whichever node
// they reached first. It is safe for concurrent use.
type Logical struct {
	cfg    LogicalConfig
	mounts *mount.Table
	tokens *auth.Tokens
	system []route
}

// route sends the paths at or below path to handle. rest is what follows path, without
// the slash between.
type route struct {
	path   string
	handle func(ctx context.Context, c *call, rest string) (answer, error)
}

// call is a request whose token was found.
type call struct {
	*Request
	token *auth.Entry
}

// isWrite reports whether the request is one of the two methods that clients write with.
func (c *call) isWrite() bool { return c.Method == http.MethodPut || c.Method == http.MethodPost }

// NewLogical returns the Logical of a node.
func NewLogical(cfg LogicalConfig) *Logical {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	l := &Logical{
		cfg:    cfg,
		mounts: mount.NewTable(cfg.Store, cfg.Logger.Named("mount")),
		tokens: auth.New(cfg.Store),
	}
	l.system = []route{
		{"sys/mounts", l.sysMounts},
		{"sys/internal/ui/mounts", l.preflight},
		{"sys/auth", l.sysAuth},
		{"sys/ha-status", l.haStatus},
		{"sys/step-down", l.stepDown},
		{"sys/rotate", l.rotate},
		{"sys/key-status", l.keyStatus},
		{"sys/capabilities-self", l.capabilities},
		{"auth/token/lookup-self", l.lookupSelf},
		{"auth/token/lookup", l.lookupToken},
	}
	return l
}

// Load reads what every request needs. A node calls it when it has become active and
// before it answers, so that damage shows then.
func (l *Logical) Load(ctx context.Context) error {
	ctx, err := l.cfg.Store.Begin(ctx)
	if err != nil {
		return err
	}
	if err := l.tokens.Load(ctx); err != nil {
		return err
	}
	return l.mounts.Load(ctx)
}

// Run does the work that no request waits for: it deletes the data of removed
// mounts. A node runs it from when it becomes active until it no longer is, when ctx ends.
func (l *Logical) Run(ctx context.Context) error {
	begun, err := l.cfg.Store.Begin(ctx)
	if err != nil {
		return err
	}
	l.mounts.Run(begun)
	return nil
}

// Handle runs req. It always returns a Response; one that says anything about the data, that
// it is damaged for example, says it only after this node was known to be still active when
// it had read it (P2): what another node writes meanwhile looks like damage.
func (l *Logical) Handle(ctx context.Context, req *Request) (resp *Response) {
	defer func() {
		if cause := recover(); cause != nil {
			logPanic(l.cfg.Logger, cause)
			resp = failed(http.StatusInternalServerError, "internal error; the server's log has the cause")
		}
	}()
	requestID := newRequestID()
	ctx, err := l.cfg.Store.Begin(ctx)
	if err != nil {
		return l.fail(err, req, requestID)
	}
	a, err := l.run(ctx, req)
	settled := err == nil && a.settled // a write was committed
	if err == nil {
		resp, err = a.response(requestID)
	}
	if err != nil {
		resp, _ = failure(err)
	}
	if !settled && resp.Status <= http.StatusInternalServerError { // what is above says nothing about the data
		if confirmErr := l.cfg.Store.Confirm(ctx, req.Strict); confirmErr != nil {
			return l.fail(unconfirmed(confirmErr, resp, req), req, requestID)
		}
	}
	if err != nil {
		return l.fail(err, req, requestID)
	}
	return resp
}

// unconfirmed is why resp, which rests on what was read, is not the answer: err, on which
// the request runs again. A change that ended with an internal error may have begun to run.
func unconfirmed(err error, resp *Response, req *Request) error {
	if resp.Status < http.StatusInternalServerError || req.Method == http.MethodGet || req.Method == "LIST" {
		return err
	}
	return fmt.Errorf("%w: an internal error, on a node that is not known to be active: %w", store.ErrOutcomeUnknown, err)
}

// fail maps err to its answer and logs it if it was not expected.
func (l *Logical) fail(err error, req *Request, requestID string) *Response {
	resp, expected := failure(err)
	if !expected {
		l.cfg.Logger.Error("unexpected error", "method", req.Method, "request_id", requestID, "error", err)
	}
	return resp
}

func (l *Logical) run(ctx context.Context, req *Request) (answer, error) {
	entry, err := l.authenticate(ctx, req.Token)
	if err != nil {
		return answer{}, err
	}
	c := &call{Request: req, token: entry}
	path := strings.TrimSuffix(req.Path, "/")
	for _, r := range l.system {
		if rest, ok := strings.CutPrefix(path, r.path); ok && (rest == "" || rest[0] == '/') {
			return r.handle(ctx, c, strings.TrimPrefix(rest, "/"))
		}
	}
	if first, _, _ := strings.Cut(path, "/"); first == "sys" || first == "auth" || first == "identity" || first == "cubbyhole" {
		return answer{}, notFound("this version of Holdfast has no " + path)
	}
	return l.secrets(ctx, c)
}

// authenticate returns the entry of token. There are no policies yet but root's, so a
// token without it may do nothing.
func (l *Logical) authenticate(ctx context.Context, token string) (*auth.Entry, error) {
	entry, err := l.tokens.Lookup(ctx, token)
	if errors.Is(err, auth.ErrPermission) || err == nil && !entry.Root() {
		return nil, ErrPermission
	}
	return entry, err
}

// secrets answers for the mount that the path is in.
func (l *Logical) secrets(ctx context.Context, c *call) (answer, error) {
	m, release, err := l.mounts.Acquire(ctx, c.Path)
	if errors.Is(err, mount.ErrNotFound) {
		return answer{}, notFound("no handler for route \"" + c.Path + "\": nothing is mounted there")
	}
	if err != nil {
		return answer{}, err
	}
	defer release()
	rest := strings.TrimPrefix(c.Path, strings.TrimSuffix(m.Path, "/"))
	rest = strings.TrimPrefix(rest, "/")
	if m.Versioned() {
		return kvV2{kv.NewV2(l.cfg.Store, m.DataDir(), l.cfg.Now)}.handle(ctx, c, rest)
	}
	return kvV1(ctx, kv.NewV1(l.cfg.Store, m.DataDir()), c, rest)
}
