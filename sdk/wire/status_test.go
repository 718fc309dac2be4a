package wire

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/holdfast/holdfast/sdk/proto/holdfast/storage/v1"
	"github.com/holdfast/holdfast/sdk/storage"
)

// sentinels are all errors of the contract, listed apart from the table on purpose.
var sentinels = []error{
	storage.ErrNotFound, storage.ErrConflict, storage.ErrTooLarge, storage.ErrInvalidKey,
	storage.ErrUnavailable, storage.ErrUnsupported, ErrUnconfigured,
}

// wrappings are ways in which a backend may return a sentinel.
var wrappings = map[string]func(error) error{
	"bare":                func(err error) error { return err },
	"wrapped":             func(err error) error { return fmt.Errorf("txn: %w", err) },
	"of an op":            func(err error) error { return &storage.OpError{Index: 7, Err: err} },
	"not applied":         storage.NotApplied,
	"op, not applied":     func(err error) error { return storage.NotApplied(&storage.OpError{Index: 7, Err: err}) },
	"not applied, an op":  func(err error) error { return &storage.OpError{Index: 7, Err: storage.NotApplied(err)} },
	"joined with another": func(err error) error { return errors.Join(errors.New("other"), err) },
}

func TestEveryErrorCrossesWithItsMeaning(t *testing.T) {
	for _, sentinel := range sentinels {
		for name, wrap := range wrappings {
			t.Run(sentinel.Error()+"/"+name, func(t *testing.T) {
				sent := wrap(sentinel)
				got := fromStatus(t.Context(), "consul", "commit", toStatus(sent))
				for _, other := range sentinels {
					if want := errors.Is(other, sentinel); errors.Is(got, other) != want {
						t.Errorf("errors.Is(%q, %q): got %v, want %v", got, other, !want, want)
					}
				}
				wantOutcome := storage.OutcomeOf(sent)
				if errors.Is(sentinel, ErrUnconfigured) {
					wantOutcome = storage.Unapplied
				}
				if outcome := storage.OutcomeOf(got); outcome != wantOutcome {
					t.Errorf("outcome: got %v, want %v", outcome, wantOutcome)
				}
				sentOp, isOp := errors.AsType[*storage.OpError](sent)
				gotOp, gotIsOp := errors.AsType[*storage.OpError](got)
				if isOp != gotIsOp || isOp && sentOp.Index != gotOp.Index {
					t.Errorf("op: got %v, want %v", gotOp, sentOp)
				}
				if want := "storage plugin consul: commit: " + sent.Error(); got.Error() != want {
					t.Errorf("text: got %q, want %q", got, want)
				}
			})
		}
	}
}

func TestTableHasEveryCodeOnce(t *testing.T) {
	seen := map[pb.ErrorCode]bool{pb.ErrorCode_ERROR_CODE_UNSPECIFIED: true}
	for _, row := range errorTable {
		if seen[row.code] {
			t.Errorf("%v occurs twice", row.code)
		}
		seen[row.code] = true
		if got := status.Code(toStatus(row.sentinel)); got != row.grpc {
			t.Errorf("%v: got gRPC code %v, want %v", row.sentinel, got, row.grpc)
		}
	}
	if len(seen) != len(pb.ErrorCode_name) || len(errorTable) != len(sentinels) {
		t.Errorf("the table has %d rows, want one for each of %d codes and %d errors", len(errorTable), len(pb.ErrorCode_name)-1, len(sentinels))
	}
}

func TestTooLargeErrorKeepsTheLimit(t *testing.T) {
	want := storage.TooLargeError{What: "value", Unit: "bytes", Size: 20, Limit: 10}
	sent := &storage.OpError{Index: 2, Err: &want}
	got := fromStatus(t.Context(), "consul", "write", toStatus(sent))
	if tl, ok := errors.AsType[*storage.TooLargeError](got); !ok || *tl != want {
		t.Errorf("got %v, want %v", tl, want)
	}
	if op, ok := errors.AsType[*storage.OpError](got); !ok || op.Index != 2 {
		t.Errorf("op: got %v, want index 2", op)
	}
}

func TestErrorsOutsideTheContractAreUnavailable(t *testing.T) {
	got := fromStatus(t.Context(), "consul", "write", toStatus(errors.New("disk on fire")))
	if !errors.Is(got, storage.ErrUnavailable) || storage.OutcomeOf(got) != storage.Unknown {
		t.Errorf("got %v (%v), want ErrUnavailable with unknown outcome", got, storage.OutcomeOf(got))
	}
	if toStatus(nil) != nil || fromStatus(t.Context(), "consul", "get", nil) != nil {
		t.Error("no error became one")
	}
}

func TestStatusWithoutDetail(t *testing.T) {
	for code := codes.Canceled; code <= codes.Unauthenticated; code++ {
		got := fromStatus(t.Context(), "consul", "commit", status.Error(code, "text"))
		want, wantOutcome := storage.ErrUnavailable, storage.Unknown
		if code == codes.Unimplemented {
			want, wantOutcome = storage.ErrUnsupported, storage.Unapplied
		}
		if !errors.Is(got, want) || storage.OutcomeOf(got) != wantOutcome {
			t.Errorf("%v: got %v (%v), want %v (%v)", code, got, storage.OutcomeOf(got), want, wantOutcome)
		}
		if errors.Is(got, context.Canceled) || errors.Is(got, context.DeadlineExceeded) {
			t.Errorf("%v: got a context's error though the context of the call is alive", code)
		}
	}
}

// A plugin that sees the deadline a moment before its host.
func TestDeadlineSeenEarly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, test := range []struct {
			code codes.Code
			left time.Duration
			want bool
		}{
			{codes.DeadlineExceeded, time.Millisecond, true},
			{codes.DeadlineExceeded, time.Second, false}, // a time limit of its own
			{codes.Canceled, time.Millisecond, false},    // nobody cancelled the call
		} {
			ctx, cancel := context.WithTimeout(t.Context(), test.left)
			got := fromStatus(ctx, "sqlite", "watch", status.Error(test.code, "over"))
			if errors.Is(got, context.DeadlineExceeded) != test.want || (ctx.Err() != nil) != test.want {
				t.Errorf("%v, %v before the deadline: got %v, the context says %v; want its error: %t", test.code, test.left, got, ctx.Err(), test.want)
			}
			cancel()
		}
	})
}

func TestContextErrorOfTheCallSurvives(t *testing.T) {
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	expired, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	for _, test := range []struct {
		ctx  context.Context
		code codes.Code
		want error
	}{
		{cancelled, codes.Canceled, context.Canceled},
		{expired, codes.DeadlineExceeded, context.DeadlineExceeded},
	} {
		for _, err := range []error{status.Error(test.code, "over"), toStatus(fmt.Errorf("txn: %w", test.want))} {
			got := fromStatus(test.ctx, "consul", "write", err)
			if !errors.Is(got, test.want) || !errors.Is(got, storage.ErrUnavailable) || storage.OutcomeOf(got) != storage.Unknown {
				t.Errorf("%v: got %v (%v), want it to be %v, unavailable, outcome unknown", err, got, storage.OutcomeOf(got), test.want)
			}
		}
		if got := fromStatus(test.ctx, "inmem", "write", toStatus(storage.NotApplied(test.want))); storage.OutcomeOf(got) != storage.Unapplied {
			t.Errorf("not applied: got outcome %v, want not applied", storage.OutcomeOf(got))
		}
	}
}
