package wire

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/holdfast/holdfast/sdk/proto/holdfast/storage/v1"
	"github.com/holdfast/holdfast/sdk/storage"
)

// errorTable pairs each error of the contract with its code in the status detail,
// which decides, and with a gRPC code for people and proxies that look no further.
// An error that matches several rows is the first of them.
var errorTable = []struct {
	sentinel error
	code     pb.ErrorCode
	grpc     codes.Code
}{
	{ErrUnconfigured, pb.ErrorCode_ERROR_CODE_UNCONFIGURED, codes.FailedPrecondition},
	{storage.ErrConflict, pb.ErrorCode_ERROR_CODE_CONFLICT, codes.Aborted},
	{storage.ErrTooLarge, pb.ErrorCode_ERROR_CODE_TOO_LARGE, codes.OutOfRange},
	{storage.ErrInvalidKey, pb.ErrorCode_ERROR_CODE_INVALID_KEY, codes.InvalidArgument},
	{storage.ErrUnsupported, pb.ErrorCode_ERROR_CODE_UNSUPPORTED, codes.Unimplemented},
	{storage.ErrNotFound, pb.ErrorCode_ERROR_CODE_NOT_FOUND, codes.NotFound},
	{storage.ErrUnavailable, pb.ErrorCode_ERROR_CODE_UNAVAILABLE, codes.Unavailable},
}

// toStatus is the plugin's side: it turns the error of a backend into a gRPC error
// with an Error detail. An error that is not of the contract becomes
// ErrUnavailable; a context's error keeps its gRPC code as well.
func toStatus(err error) error {
	if err == nil {
		return nil
	}
	detail := &pb.Error{Code: pb.ErrorCode_ERROR_CODE_UNAVAILABLE}
	code := codes.Unavailable
	for _, row := range errorTable {
		if errors.Is(err, row.sentinel) {
			detail.Code, code = row.code, row.grpc
			break
		}
	}
	if detail.Code == pb.ErrorCode_ERROR_CODE_UNAVAILABLE {
		switch {
		case errors.Is(err, context.DeadlineExceeded):
			code = codes.DeadlineExceeded
		case errors.Is(err, context.Canceled):
			code = codes.Canceled
		}
	}
	if storage.OutcomeOf(err) == storage.Unapplied {
		detail.Outcome = pb.Outcome_OUTCOME_NOT_APPLIED
	}
	if op, ok := errors.AsType[*storage.OpError](err); ok {
		detail.HasOpIndex, detail.OpIndex = true, int64(op.Index)
	}
	if tl, ok := errors.AsType[*storage.TooLargeError](err); ok {
		detail.TooLarge = &pb.TooLarge{What: tl.What, Unit: tl.Unit, Size: int64(tl.Size), Limit: int64(tl.Limit)}
	}
	st, detailErr := status.New(code, err.Error()).WithDetails(detail)
	if detailErr != nil { // can not be encoded: the bare status still means unknown
		return status.Error(codes.Unavailable, err.Error())
	}
	return st.Err()
}

// callError is a failed call as the host sees it. It reads as the plugin worded it and
// unwraps to what the table says.
type callError struct {
	plugin  string // name of the plugin
	call    string // name of the method
	message string
	cause   error
}

func (e *callError) Error() string {
	return fmt.Sprintf("storage plugin %s: %s: %s", e.plugin, e.call, e.message)
}

func (e *callError) Unwrap() error { return e.cause }

// fromStatus is the host's side. ctx is the context of the call: its error is
// part of the result if it ended the call.
func fromStatus(ctx context.Context, plugin, call string, err error) error {
	if err == nil {
		return nil
	}
	st := status.Convert(err)
	detail := errorDetail(st)
	callErr := &callError{plugin: plugin, call: call, message: st.Message(), cause: causeOf(ctx, st, detail)}
	// An unconfigured plugin has not looked at the request. The contract's own
	// errors say by themselves that nothing was applied.
	if errors.Is(callErr, ErrUnconfigured) || detail.GetOutcome() == pb.Outcome_OUTCOME_NOT_APPLIED {
		return storage.NotApplied(callErr)
	}
	return callErr
}

// causeOf returns what an error with status st and detail (nil if there was none)
// unwraps to.
func causeOf(ctx context.Context, st *status.Status, detail *pb.Error) error {
	cause := sentinelOf(st, detail)
	if tl := detail.GetTooLarge(); tl != nil && errors.Is(cause, storage.ErrTooLarge) {
		cause = &storage.TooLargeError{What: tl.GetWhat(), Unit: tl.GetUnit(), Size: int(tl.GetSize()), Limit: int(tl.GetLimit())}
	}
	if code := st.Code(); code == codes.DeadlineExceeded || code == codes.Canceled {
		if ended := contextError(ctx, code); ended != nil {
			cause = errors.Join(cause, ended)
		}
	}
	if detail.GetHasOpIndex() {
		cause = &storage.OpError{Index: int(detail.GetOpIndex()), Err: cause}
	}
	return cause
}

func sentinelOf(st *status.Status, detail *pb.Error) error {
	for _, row := range errorTable {
		if detail != nil && detail.GetCode() == row.code {
			return row.sentinel
		}
	}
	// Without a detail it was the gRPC runtime that answered, or a plugin that does not
	// follow the contract. Only "there is no such method" is certain.
	if detail == nil && st.Code() == codes.Unimplemented {
		return storage.ErrUnsupported
	}
	return storage.ErrUnavailable
}

func errorDetail(st *status.Status) *pb.Error {
	for _, d := range st.Details() {
		if detail, ok := d.(*pb.Error); ok {
			return detail
		}
	}
	return nil
}

// earliest is how long before the deadline of a call a plugin may say that it has passed: gRPC's
// C core, and so Python's and others', keeps time in milliseconds that it rounds down.
const earliest = 10 * time.Millisecond

// contextError is ctx.Err() after a call that ended with code. gRPC, on either side, may notice
// the deadline before ctx does; then it waits for ctx, so that the caller sees the same.
func contextError(ctx context.Context, code codes.Code) error {
	deadline, ok := ctx.Deadline()
	if left := time.Until(deadline); ok && (left <= 0 || code == codes.DeadlineExceeded && left <= earliest) {
		<-ctx.Done()
	}
	return ctx.Err()
}
