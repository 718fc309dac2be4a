package api

import (
	"context"
	"errors"
	"net/http"

	"github.com/holdfast/holdfast/host/auth"
	"github.com/holdfast/holdfast/host/barrier"
	"github.com/holdfast/holdfast/host/ha"
	"github.com/holdfast/holdfast/host/kv"
	"github.com/holdfast/holdfast/host/mount"
	"github.com/holdfast/holdfast/host/plugin"
	"github.com/holdfast/holdfast/host/rotation"
	"github.com/holdfast/holdfast/host/store"
	"github.com/holdfast/holdfast/sdk/storage"
)

// refusal is an error that carries its answer.
type refusal struct {
	status   int
	messages []string
}

func (r *refusal) Error() string {
	if len(r.messages) == 0 {
		return http.StatusText(r.status)
	}
	return r.messages[0]
}

func badRequest(message string) error {
	return &refusal{status: http.StatusBadRequest, messages: []string{message}}
}

func notFound(messages ...string) error {
	return &refusal{status: http.StatusNotFound, messages: messages}
}

func notAllowed() error {
	return &refusal{status: http.StatusMethodNotAllowed, messages: []string{"unsupported operation"}}
}

// failure maps err to its answer; ok is false if err is none that is expected, which is to
// be logged. A 4xx means that the request will never run as it is, a 503 that it has
// provably not run and may be sent again, a 504 that it may have run or may still.
func failure(err error) (resp *Response, ok bool) {
	if r, ok := errors.AsType[*refusal](err); ok {
		return failed(r.status, r.messages...), true
	}
	// What is wrong with the data, the operator must hear as well as the client.
	if barrier.IsDamage(err) {
		return failed(http.StatusInternalServerError, err.Error()), false
	}
	for _, known := range []struct {
		err     error
		respond func(message string) *Response
	}{
		{store.ErrOutcomeUnknown, status(http.StatusGatewayTimeout)}, // before what may be its cause
		{ha.ErrUnconfirmed, status(http.StatusGatewayTimeout)},
		{ErrNotInitialized, status(http.StatusBadRequest)},
		{ErrNotEmpty, status(http.StatusBadRequest)},
		{ErrTooOld, status(http.StatusBadRequest)},
		{ErrBadShare, status(http.StatusBadRequest)},
		{ErrUnknownTarget, status(http.StatusBadRequest)},
		{ha.ErrNothingToAccept, status(http.StatusBadRequest)},
		{ErrPermission, denied},
		{auth.ErrPermission, denied},
		{barrier.ErrSealed, func(string) *Response { return sealed() }},
		{kv.ErrNotFound, func(string) *Response { return failed(http.StatusNotFound) }},
		{kv.ErrCASMismatch, status(http.StatusBadRequest)},
		{kv.ErrCASRequired, status(http.StatusBadRequest)},
		{kv.ErrInvalid, status(http.StatusBadRequest)},
		{rotation.ErrInvalid, status(http.StatusBadRequest)},
		{mount.ErrInvalid, status(http.StatusBadRequest)},
		{mount.ErrConflict, status(http.StatusBadRequest)},
		{mount.ErrNotFound, status(http.StatusBadRequest)},
		{storage.ErrInvalidKey, status(http.StatusBadRequest)},
		{storage.ErrTooLarge, status(http.StatusRequestEntityTooLarge)},
		{store.ErrNotActive, unavailable},
		{plugin.ErrReloading, unavailable},
		{ha.ErrNotYet, unavailable},
		{storage.ErrUnavailable, unavailable},
		{context.DeadlineExceeded, unavailable},
		{context.Canceled, unavailable},
		{plugin.ErrNotReloaded, status(http.StatusBadRequest)}, // behind what is no fault of the program's
	} {
		if errors.Is(err, known.err) {
			return known.respond(err.Error()), true
		}
	}
	return failed(http.StatusInternalServerError, "internal error; the server's log has the cause"), false
}

func status(code int) func(string) *Response {
	return func(message string) *Response { return failed(code, message) }
}

func denied(string) *Response { return failed(http.StatusForbidden, "permission denied") }
