package api

import "net/http"

// Failed is the answer to a request that failed with status, for those who answer
// without a Logical.
func Failed(status int, message string) *Response { return failed(status, message) }

// Unavailable is the answer, 503 with Retry-After, to a request that has provably not run.
func Unavailable(message string) *Response { return unavailable(message) }

// FailureOf is the answer to a request that failed with err, on a node that answers alone.
func FailureOf(err error) *Response {
	resp, _ := failure(err)
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
