package api

// Failed is the answer to a request that failed with status, for those who answer
// without a Logical.
func Failed(status int, message string) *Response { return failed(status, message) }

// Unavailable is the answer, 503 with Retry-After, to a request that has provably not run.
func Unavailable(message string) *Response { return unavailable(message) }
