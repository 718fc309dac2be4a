package etcd

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/holdfast/holdfast/sdk/storage"
)

// failure is a request that one member did not answer as hoped.
type failure struct {
	endpoint  string
	err       error
	sent      bool // it may have reached the member
	refused   bool // the member answered that it has done nothing, and will not
	elsewhere bool // another member may do better
	tooLarge  bool
	user      bool   // it is the user who may not, and waiting does not help
	advice    string // what an operator can do; may be empty
}

func (f *failure) Error() string {
	if f.advice != "" {
		return f.advice + ": " + f.err.Error()
	}
	return f.err.Error()
}

func (f *failure) Unwrap() error { return f.err }

// notApplied reports whether the request certainly was not and will not be carried out.
func (f *failure) notApplied() bool { return !f.sent || f.refused }

// refusals are answers that a server gives before a transaction enters its log, or in
// place of applying it. None of the others says anything about what became of it: a
// server that stops, loses its leader or waits too long gives the same answer whether
// the transaction is in the log or not.
var refusals = []struct { //nolint:gochecknoglobals // a table
	err       error
	elsewhere bool
	tooLarge  bool
	user      bool
	advice    string
}{
	{err: rpctypes.ErrRequestTooLarge, tooLarge: true, advice: "the server's --max-request-bytes is lower than the default of 1.5 MiB"},
	{err: rpctypes.ErrTooManyOps, tooLarge: true, advice: "set max_txn_ops to the servers' --max-txn-ops"},
	{err: rpctypes.ErrPermissionDenied, user: true, advice: "the user's role lacks readwrite on everything below path"},
	{err: rpctypes.ErrAuthFailed, user: true, advice: "the user is unknown or the password is wrong; check username and password"},
	{err: rpctypes.ErrUserEmpty, user: true, advice: "etcd wants to know who asks; set username and password"},
	{err: rpctypes.ErrInvalidAuthToken, advice: "the user's token is not accepted"},
	{err: rpctypes.ErrAuthOldRevision, advice: "etcd's users and roles are being changed"},
	{err: rpctypes.ErrTooManyRequests, advice: "the server is overloaded"},
	{err: rpctypes.ErrNoLeader, elsewhere: true, advice: "the member has no leader"},
	{err: rpctypes.ErrNotCapable, elsewhere: true, advice: "the member is not ready"},
	{err: rpctypes.Error(rpctypes.ErrGRPCNotSupportedForLearner), elsewhere: true, advice: "the member is a learner"},
}

func newFailure(endpoint string, err error, p *passage) *failure {
	f := &failure{endpoint: endpoint, err: err, sent: p.left.Load()}
	for _, r := range refusals {
		if errors.Is(err, r.err) {
			f.refused, f.elsewhere, f.tooLarge, f.user, f.advice = true, r.elsewhere, r.tooLarge, r.user, r.advice
			return f
		}
	}
	code := status.Code(err)
	known, ok := errors.AsType[rpctypes.EtcdError](err)
	switch {
	case ok:
		code = known.Code()
	case code == codes.ResourceExhausted:
		f.tooLarge = overMessageLimit(err, p)
		f.refused = f.tooLarge
		f.advice = "a message may be over a limit; see max_receive_size here and --max-request-bytes at the servers"
	}
	switch {
	case errors.Is(err, rpctypes.ErrNoSpace): // not a refusal: see Backend.settleFull
		f.advice = "the NOSPACE alarm is raised: the database has reached --quota-backend-bytes; raise that, " +
			"or make room with etcdctl compact and defrag, then run etcdctl alarm disarm"
	case errors.Is(err, rpctypes.ErrCorrupt):
		f.advice = "the CORRUPT alarm is raised: the members' data differ"
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled),
		code == codes.Unavailable, code == codes.DeadlineExceeded, code == codes.Canceled:
		f.elsewhere = true
	}
	return f
}

// overMessageLimit reports whether a request was given up before any server looked at it,
// because it is over gRPC's own limit at either end. A reply that is over one has the same
// code, as has a server that is overloaded, or something in between.
func overMessageLimit(err error, p *passage) bool {
	text := status.Convert(err).Message() // gRPC tells it in words only
	switch {
	case strings.HasPrefix(text, "grpc: received message larger than max"):
		return !p.answered.Load() // else the message was the reply
	case strings.HasPrefix(text, "trying to send message larger than max"):
		return !p.complete.Load()
	}
	return false
}

// readError explains why a read failed. ctx is the caller's.
func (b *Backend) readError(ctx context.Context, err error) error {
	f := asFailure(err)
	if over := ended(ctx); over != nil {
		return fmt.Errorf("read from etcd at %s: %w", f.endpoint, over)
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return fmt.Errorf("%w: read from etcd at %s: no answer within %v", storage.ErrUnavailable, f.endpoint, b.timeout)
	}
	return fmt.Errorf("%w: read from etcd at %s: %w", storage.ErrUnavailable, f.endpoint, f)
}

// writeError explains why a transaction failed, and whether it is certain that it was not
// applied. ctx is the caller's.
func (b *Backend) writeError(ctx context.Context, err error) error {
	f, over := asFailure(err), ended(ctx)
	switch {
	case f.refused && f.tooLarge:
		// Within the declared limits, so the servers' are lower than the defaults.
		limit := &storage.TooLargeError{What: "batch", Unit: "bytes", Limit: b.limits.MaxBatchBytes}
		if errors.Is(err, rpctypes.ErrTooManyOps) {
			limit.Unit, limit.Limit = "ops", b.limits.MaxOps
		}
		return fmt.Errorf("write to etcd at %s: %w: %w", f.endpoint, limit, f)
	case over != nil:
		err = fmt.Errorf("write to etcd at %s: %w", f.endpoint, over)
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		err = fmt.Errorf("%w: write to etcd at %s: no answer within %v", storage.ErrUnavailable, f.endpoint, b.timeout)
	default:
		err = fmt.Errorf("%w: write to etcd at %s: %w", storage.ErrUnavailable, f.endpoint, f)
	}
	if f.notApplied() {
		return storage.NotApplied(err)
	}
	return err
}

// ended is ctx.Err(), and also tells of a deadline that has passed before the context's
// timer ran: the server knows the deadline, and may be the first to say so.
func ended(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if deadline, ok := ctx.Deadline(); ok && !time.Now().Before(deadline) {
		return context.DeadlineExceeded
	}
	return nil
}

func asFailure(err error) *failure {
	if f, ok := errors.AsType[*failure](err); ok {
		return f
	}
	return &failure{err: err, sent: true}
}
