package e2e

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/holdfast/holdfast/test/harness"
)

// rawAnswer is what came back for a rawRequest.
type rawAnswer struct {
	status int
	header http.Header
	body   string
}

// rawRequest sends a request whose target goes over the wire as it is written: a client
// library would clean or refuse what these tests send. headers are whole lines.
func rawRequest(t testing.TB, address, method, target, body string, headers ...string) rawAnswer {
	t.Helper()
	head := fmt.Sprintf("%s %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n", method, target, address)
	chunked := false
	for _, line := range headers {
		head += line + "\r\n"
		chunked = chunked || strings.EqualFold(line, "Transfer-Encoding: chunked")
	}
	switch {
	case chunked:
		body = fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(body), body)
	case body != "":
		head += fmt.Sprintf("Content-Length: %d\r\n", len(body))
	}
	ctx, cancel := context.WithTimeout(t.Context(), harness.Patience)
	defer cancel()
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(harness.Patience)); err != nil {
		t.Fatal(err)
	}
	// A server that refuses a body early may not read all of it, and says why all the same.
	_, sendErr := io.WriteString(conn, head+"\r\n"+body)
	resp, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
	if err != nil {
		t.Fatalf("%s %q: read the answer: %v (send: %v)", method, target, err, sendErr)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("%s %q: read the answer: %v", method, target, err)
	}
	return rawAnswer{resp.StatusCode, resp.Header, string(text)}
}
