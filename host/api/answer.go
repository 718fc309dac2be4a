package api

import (
	"bytes"
	"encoding/json"
	"maps"
	"net/http"

	"github.com/google/uuid"
)

// answer is what a handler of Logical returns when it succeeds.
type answer struct {
	status       int    // 0: 200, or 204 if data is nil
	data         object // of the envelope
	flat         bool   // data's members are at the top level as well: some clients look there
	leaseSeconds int
	warnings     []string

	// settled: the store has confirmed that this node was active after the last read,
	// because the handler committed a write; or the answer says nothing about the data.
	settled bool
}

// object is a JSON object in the making.
type object map[string]any

// written is the answer of a handler that committed and has nothing to say.
func written() answer { return answer{settled: true} }

// readOf is the answer of a handler that read data.
func readOf(data object) answer { return answer{data: data} }

// response encodes a.
func (a answer) response(requestID string) (*Response, error) {
	if a.data == nil && a.status == 0 && len(a.warnings) == 0 {
		return &Response{Status: http.StatusNoContent}, nil
	}
	envelope := object{}
	if a.flat {
		maps.Copy(envelope, a.data)
	}
	maps.Copy(envelope, object{
		"request_id":     requestID,
		"lease_id":       "",
		"renewable":      false,
		"lease_duration": a.leaseSeconds,
		"data":           a.data,
		"wrap_info":      nil,
		"warnings":       a.warnings,
		"auth":           nil,
	})
	body, err := encode(envelope)
	if err != nil {
		return nil, err
	}
	status := a.status
	if status == 0 {
		status = http.StatusOK
	}
	return &Response{Status: status, Body: body}, nil
}

// encode is json.Marshal without the escapes meant for HTML: values come back as they
// were given.
func encode(x any) ([]byte, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	err := enc.Encode(x)
	return buf.Bytes(), err
}

// plain is a 200 without the envelope, for the endpoints that never had it.
func plain(data any) *Response {
	body, err := encode(data)
	if err != nil {
		return failed(http.StatusInternalServerError, "the answer can not be encoded")
	}
	return &Response{Status: http.StatusOK, Body: body}
}

// failed is an error answer. Without messages the list of errors is empty, as clients
// expect of a plain "not found".
func failed(status int, messages ...string) *Response {
	if messages == nil {
		messages = []string{}
	}
	body, err := encode(object{"errors": messages})
	if err != nil {
		body = nil // a list of strings can always be encoded
	}
	return &Response{Status: status, Body: body}
}

// unavailable is the answer to what has provably not run and may be sent again.
func unavailable(message string) *Response {
	resp := failed(http.StatusServiceUnavailable, message)
	resp.RetryAfter = 1
	return resp
}

// sealed is the answer of a sealed node. Clients compare the text.
func sealed() *Response { return failed(http.StatusServiceUnavailable, "Vault is sealed") }

func newRequestID() string { return uuid.NewString() }
