package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/holdfast/holdfast/host/kv"
)

// maxPathBytes bounds a decoded path; no key is longer.
const maxPathBytes = 2048

// maxBodyDepth is how deep a body may nest: a value of the deepest kind that can be stored,
// and what is around it.
const maxBodyDepth = 66

// parseHead makes a Request of everything but the body, or says why it is refused.
func parseHead(r *http.Request) (*Request, *Response) {
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodPut, http.MethodPost, http.MethodPatch, http.MethodDelete, "LIST":
	default:
		return nil, failed(http.StatusMethodNotAllowed, "unsupported method")
	}
	if !strings.HasPrefix(r.URL.EscapedPath(), "/v1/") {
		return nil, failed(http.StatusNotFound, "not found: every path begins with /v1/")
	}
	path, err := ParsePath(r.URL.EscapedPath())
	if err != nil {
		return nil, failed(http.StatusBadRequest, err.Error())
	}
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, failed(http.StatusBadRequest, "the query can not be parsed")
	}
	req := &Request{Method: r.Method, Path: path, Query: query, Token: token(r.Header), RemoteAddr: remoteAddr(r)}
	if req.Method == http.MethodHead {
		req.Method = http.MethodGet // net/http leaves the body out
	}
	if refusal := parseList(req); refusal != nil {
		return nil, refusal
	}
	if refusal := parseHeaders(req, r.Header); refusal != nil {
		return nil, refusal
	}
	return req, nil
}

// ParsePath returns the path below /v1/ that an escaped URL path means, or why it is
// refused. No two paths that differ mean the same one: empty, "." and ".."
// segments and encoded slashes are refused, not resolved. One slash at the end stays.
func ParsePath(escaped string) (string, error) {
	rest, ok := strings.CutPrefix(escaped, "/v1/")
	if !ok {
		return "", errors.New("the path does not begin with /v1/")
	}
	if strings.Contains(strings.ToLower(rest), "%2f") {
		return "", errors.New("the path has an encoded slash")
	}
	path, err := url.PathUnescape(rest)
	if err != nil {
		return "", errors.New("the path has a broken percent escape")
	}
	if len(path) > maxPathBytes {
		return "", errors.New("the path is longer than " + strconv.Itoa(maxPathBytes) + " bytes")
	}
	if !utf8.ValidString(path) || strings.ContainsFunc(path, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return "", errors.New("the path has characters that can not be printed")
	}
	for segment := range strings.SplitSeq(strings.TrimSuffix(path, "/"), "/") {
		switch segment {
		case "":
			return "", errors.New("the path is empty or has an empty segment")
		case ".", "..":
			return "", errors.New(`the path has a "." or ".." segment`)
		}
	}
	return path, nil
}

// parseList makes a LIST of a GET with ?list=true, and gives a LIST its last slash.
func parseList(req *Request) *Response {
	if text := req.Query["list"]; req.Method == http.MethodGet && len(text) > 0 {
		list, err := strconv.ParseBool(text[0])
		if err != nil {
			return failed(http.StatusBadRequest, "list: want true or false")
		}
		if list {
			req.Method = "LIST"
		}
	}
	delete(req.Query, "list")
	if req.Method == "LIST" && !strings.HasSuffix(req.Path, "/") {
		req.Path += "/"
	}
	return nil
}

// parseHeaders reads what changes the meaning of the request. What a client asks for
// and would not get is refused: an answer that ignored it could give a secret away.
func parseHeaders(req *Request, h http.Header) *Response {
	switch h.Get("X-Holdfast-Consistency") {
	case "", "default":
	case "strict":
		req.Strict = true
	default:
		return failed(http.StatusBadRequest, "X-Holdfast-Consistency: want strict or default")
	}
	if h.Get("X-Vault-Wrap-TTL") != "" {
		return failed(http.StatusBadRequest, "response wrapping is not supported yet")
	}
	if h.Get("X-Vault-Namespace") != "" {
		return failed(http.StatusBadRequest, "namespaces are not supported")
	}
	if req.Method == http.MethodPatch {
		kind, _, err := mime.ParseMediaType(h.Get("Content-Type"))
		if err != nil || kind != "application/merge-patch+json" {
			return failed(http.StatusUnsupportedMediaType, "PATCH takes the content type application/merge-patch+json")
		}
		req.MergePatch = true
	}
	return nil
}

// parseBody reads the body of a request that has one and checks that it is JSON.
func parseBody(req *Request, r *http.Request) *Response {
	switch req.Method {
	case http.MethodPut, http.MethodPost, http.MethodPatch:
	default:
		return nil // net/http disposes of it
	}
	body, refusal := readJSON(r)
	req.Body = body
	return refusal
}

// readJSON returns the body, which is empty or one JSON object.
func readJSON(r *http.Request) ([]byte, *Response) {
	body, err := io.ReadAll(r.Body)
	if tooLarge, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return nil, failed(http.StatusRequestEntityTooLarge,
			"the request body is larger than the limit of "+strconv.FormatInt(tooLarge.Limit, 10)+" bytes")
	}
	if err != nil {
		return nil, failed(http.StatusBadRequest, "the request body ended early")
	}
	switch {
	case len(body) == 0, bytes.Equal(bytes.TrimSpace(body), []byte("null")): // Vault's clients send null for nothing
		return nil, nil
	case !utf8.Valid(body) || !json.Valid(body):
		return nil, failed(http.StatusBadRequest, "the request body is not valid JSON")
	case kv.Depth(body) > maxBodyDepth:
		return nil, failed(http.StatusBadRequest, "the request body nests deeper than "+strconv.Itoa(maxBodyDepth)+" levels")
	case !bytes.HasPrefix(bytes.TrimLeft(body, " \t\r\n"), []byte("{")):
		return nil, failed(http.StatusBadRequest, "the request body is not a JSON object")
	}
	return body, nil
}

func token(h http.Header) string {
	if token := h.Get("X-Vault-Token"); token != "" {
		return token
	}
	scheme, token, _ := strings.Cut(h.Get("Authorization"), " ")
	if strings.EqualFold(scheme, "Bearer") {
		return strings.TrimSpace(token)
	}
	return ""
}

func remoteAddr(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}
