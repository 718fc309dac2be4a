package api

import (
	"net/http"

	"github.com/hashicorp/go-hclog"
)

// Failed is the answer to a request that failed with status, for those who answer
// without a Logical.
func Failed(status int, message string) *Response { return failed(status, message) }

// Unavailable is the answer, 503 with Retry-After, to a request that has provably not run.
func Unavailable(message string) *Response { return unavailable(message) }

// FailureOf is the answer to a request that failed with err, on a node that answers alone. An
// error that is not the client's is logged.
func FailureOf(err error, logger hclog.Logger) *Response {
	resp, known := failure(err)
	if !known {
		logger.Error("a request failed", "error", err)
	}
	return resp
}

// HAStatus is the answer to HAStatusPath of a node that answers alone. The caller has
// checked the token.
func HAStatus(s Status) *Response {
	resp, err := haStatusOf(s).response(newRequestID())
	if err != nil {
		return failed(http.StatusInternalServerError, "the answer can not be encoded")
	}
	return resp
}
