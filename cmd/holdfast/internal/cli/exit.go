package cli

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/hashicorp/vault/api"
)

// Exit codes, as Vault's client has them. The status command has a table of its own.
const (
	exitOK     = 0
	exitLocal  = 1 // wrong usage, or something on this machine
	exitRemote = 2 // the server refused, could not be reached or has no such value
)

// usageError is a command line that can not be run.
type usageError string

func (e usageError) Error() string { return string(e) }

// exitError ends a command with an exit code that is an answer, not a failure:
// sealed, not initialised, no such value. The message, if any, goes to stderr.
type exitError struct {
	code    int
	message string
}

func (e exitError) Error() string { return e.message }

// noValue is the answer when the server has nothing at path.
func noValue(path string) error {
	return exitError{code: exitRemote, message: "No value found at " + path}
}

// requestError is a request that did not succeed.
type requestError struct {
	doing string // verb phrase, without secrets
	err   error
}

// remote wraps the error of a request to the server. It returns nil for nil.
func remote(doing string, err error) error {
	if err == nil {
		return nil
	}
	return &requestError{doing: doing, err: err}
}

func (e *requestError) Unwrap() error { return e.err }

func (e *requestError) Error() string {
	response, ok := errors.AsType[*api.ResponseError](e.err)
	if !ok {
		return e.doing + ": " + e.err.Error() + hint(e.err)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s: the server refused the request\n\nURL: %s %s\nCode: %d. Errors:\n",
		e.doing, response.HTTPMethod, redact(response.URL), response.StatusCode)
	for _, text := range response.Errors {
		fmt.Fprintf(&b, "\n* %s", printable(strings.TrimSpace(text)))
	}
	return strings.TrimRight(b.String(), "\n")
}

// hint says what to do about the usual mistakes with TLS.
func hint(err error) string {
	if errors.Is(err, http.ErrSchemeMismatch) {
		return "\n\nThe server speaks plain HTTP: give it an http:// address, with -address or HOLDFAST_ADDR."
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return "\n\nName the authority that signed the server's certificate with -ca-cert or HOLDFAST_CACERT."
	}
	return ""
}

// redact removes a password from an address.
func redact(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "(unreadable address)"
	}
	return u.Redacted()
}

// report prints err, if any, and returns the exit code it stands for.
func report(stderr io.Writer, name string, err error) int {
	if err == nil {
		return exitOK
	}
	if exit, ok := errors.AsType[exitError](err); ok {
		if exit.message != "" {
			fmt.Fprintln(stderr, exit.message)
		}
		return exit.code
	}
	fmt.Fprintf(stderr, "Error: %v\n", err)
	if _, ok := errors.AsType[usageError](err); ok {
		fmt.Fprintf(stderr, "\nSee holdfast %s -help\n", name)
	}
	if _, ok := errors.AsType[*requestError](err); ok {
		return exitRemote
	}
	return exitLocal
}
