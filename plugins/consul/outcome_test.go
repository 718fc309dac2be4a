package consul

import (
	"context"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/holdfast/holdfast/sdk/storage"
)

// backendAt returns a Backend for a server at address, without asking it anything.
func backendAt(t *testing.T, address string, change ...func(*Config)) *Backend {
	t.Helper()
	c := defaults()
	c.Address = address
	for _, f := range change {
		f(&c)
	}
	b, err := newBackend(c, hclog.NewNullLogger())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return b
}

// fake answers every request by handler.
func fake(t *testing.T, handler http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(handler)
	t.Cleanup(s.Close)
	return s
}

func commitOne(ctx context.Context, b *Backend) error {
	_, err := b.Commit(ctx, storage.Guard{Key: "guard", Value: []byte("v")}, []storage.Op{storage.Put("k", nil)})
	return err
}

func TestCommitOutcomeByStatus(t *testing.T) {
	for status, want := range map[int]struct {
		outcome storage.Outcome
		err     error
	}{
		http.StatusBadRequest:            {storage.Unapplied, storage.ErrUnavailable},
		http.StatusForbidden:             {storage.Unapplied, storage.ErrUnavailable},
		http.StatusNotFound:              {storage.Unapplied, storage.ErrUnavailable},
		http.StatusRequestEntityTooLarge: {storage.Unapplied, storage.ErrTooLarge},
		http.StatusTooManyRequests:       {storage.Unapplied, storage.ErrUnavailable},
		http.StatusTemporaryRedirect:     {storage.Unknown, storage.ErrUnavailable},
		http.StatusInternalServerError:   {storage.Unknown, storage.ErrUnavailable},
		http.StatusBadGateway:            {storage.Unknown, storage.ErrUnavailable},
		http.StatusServiceUnavailable:    {storage.Unknown, storage.ErrUnavailable},
		http.StatusOK:                    {storage.Unknown, storage.ErrUnavailable}, // not JSON
	} {
		var hits atomic.Int32
		s := fake(t, func(w http.ResponseWriter, _ *http.Request) {
			hits.Add(1)
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(status)
			_, _ = io.WriteString(w, "answer")
		})
		err := commitOne(t.Context(), backendAt(t, s.URL))
		if got := storage.OutcomeOf(err); got != want.outcome || !errors.Is(err, want.err) {
			t.Errorf("status %d: %v (%v), want %v (%v)", status, err, got, want.err, want.outcome)
		}
		if tooLarge, ok := errors.AsType[*storage.TooLargeError](err); ok != errors.Is(err, storage.ErrTooLarge) || ok && tooLarge.Limit <= 0 {
			t.Errorf("status %d: %v, want one that names the limit", status, err)
		}
		if got := hits.Load(); got != 1 {
			t.Errorf("status %d: the transaction was sent %d times, want once", status, got)
		}
	}
}

// A connection that breaks once the request was sent leaves the outcome unknown,
// and the request is not sent a second time behind the caller's back: on a new
// connection or on one used before.
func TestCommitOnBrokenConnectionIsSentOnce(t *testing.T) {
	var hits atomic.Int32
	s := fake(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPut { // a read first, to have a used connection
			w.Header().Set("X-Consul-Index", "7")
			w.WriteHeader(http.StatusNotFound)
			return
		}
		hits.Add(1)
		_, _ = io.Copy(io.Discard, r.Body)
		panic(http.ErrAbortHandler) // the client sees the end of the stream
	})
	b := backendAt(t, s.URL)
	for _, used := range []bool{false, true} {
		if used {
			if _, err := b.Get(t.Context(), "k"); !errors.Is(err, storage.ErrNotFound) {
				t.Fatal(err)
			}
		}
		hits.Store(0)
		err := commitOne(t.Context(), b)
		if got := storage.OutcomeOf(err); got != storage.Unknown || !errors.Is(err, storage.ErrUnavailable) {
			t.Errorf("connection used before: %t: %v (%v), want an unknown outcome", used, err, got)
		}
		if got := hits.Load(); got != 1 {
			t.Errorf("connection used before: %t: sent %d times, want once", used, got)
		}
	}
}

// Another cluster in the place of this one, whose guard is at the same version with another
// value: the first Commit after the connections broke is compared, however they did.
func TestCommitOnNewConnectionIsCompared(t *testing.T) {
	var value atomic.Value
	var hits atomic.Int32
	value.Store("ours")
	s := fake(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Consul-Index", "7")
		pair := fmt.Sprintf(`{"Key":"guard","Value":%q,"ModifyIndex":5}`, base64.StdEncoding.EncodeToString([]byte(value.Load().(string))))
		if r.Method == http.MethodPut {
			if _, err := io.Copy(io.Discard, r.Body); err != nil {
				return
			}
			hits.Add(1)
			_, _ = fmt.Fprintf(w, `{"Results":[{"KV":%s}]}`, pair)
			return
		}
		_, _ = fmt.Fprintf(w, "[%s]", pair)
	})
	b := backendAt(t, s.URL)
	commit := func() error {
		_, err := b.Commit(t.Context(), storage.Guard{Key: "guard", Version: "5", Prev: []byte("ours"), Value: []byte("next")}, nil)
		return err
	}
	for range 2 {
		if err := commit(); err != nil {
			t.Fatal(err)
		}
		s.CloseClientConnections() // and the same cluster is back
		for err := commit(); err != nil; err = commit() {
			if !errors.Is(err, storage.ErrUnavailable) { // the broken connection was used
				t.Fatal(err)
			}
		}
	}
	value.Store("another cluster's")
	s.CloseClientConnections()
	hits.Store(0)
	err := commit()
	for errors.Is(err, storage.ErrUnavailable) {
		err = commit()
	}
	if !errors.Is(err, storage.ErrConflict) || hits.Load() != 0 {
		t.Errorf("commit to another cluster: %v, %d transactions were sent, want ErrConflict and none", err, hits.Load())
	}
}

// A transaction that may not go on the connection it got is not sent, in no part, on no
// connection: neither on a new one nor in the place of one used before.
func TestRefusedConnectionGetsNothing(t *testing.T) {
	var puts atomic.Int32
	s := fake(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut {
			puts.Add(1)
		}
		w.Header().Set("X-Consul-Index", "7")
		w.WriteHeader(http.StatusNotFound)
	})
	b := backendAt(t, s.URL)
	refusal := storage.NotApplied(storage.ErrUnavailable)
	for _, used := range []bool{false, true} {
		if used {
			if _, err := b.Get(t.Context(), "k"); !errors.Is(err, storage.ErrNotFound) {
				t.Fatal(err)
			}
		}
		asked := 0
		_, err := b.transact(t.Context(), b.operations(nil, []storage.Op{storage.Put("k", nil)}), func(uint64) error {
			asked++
			return refusal
		})
		if !errors.Is(err, refusal) || asked != 1 {
			t.Errorf("connection used before: %t: %v, asked %d times, want the refusal, asked once", used, err, asked)
		}
	}
	if got := puts.Load(); got != 0 {
		t.Errorf("the server saw %d transactions, want none", got)
	}
}

// As many Commits at once as there may be connections to compare: each is compared on what
// it got, and none fails because the others' connections are new.
func TestCommitsAtOnceAreCompared(t *testing.T) {
	var commits atomic.Int32
	s := fake(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Consul-Index", "7")
		pair := fmt.Sprintf(`{"Key":"guard","Value":%q,"ModifyIndex":5}`, base64.StdEncoding.EncodeToString([]byte("ours")))
		if r.Method == http.MethodPut {
			commits.Add(1)
			_, _ = fmt.Fprintf(w, `{"Results":[{"KV":%s}]}`, pair)
			return
		}
		_, _ = fmt.Fprintf(w, "[%s]", pair)
	})
	b := backendAt(t, s.URL)
	const racers, rounds = 64, 10
	for range rounds {
		errs := make(chan error, racers)
		for range racers {
			go func() {
				_, err := b.Commit(t.Context(), storage.Guard{Key: "guard", Version: "5", Prev: []byte("ours"), Value: []byte("next")}, nil)
				errs <- err
			}()
		}
		for range racers {
			if err := <-errs; err != nil {
				t.Errorf("commit: %v", err)
			}
		}
		b.idle.CloseIdleConnections() // so that the next round makes new ones
	}
	if got := commits.Load(); got != racers*rounds {
		t.Errorf("the server saw %d transactions, want %d", got, racers*rounds)
	}
}

func TestCommitToNobodyIsNotApplied(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	err = commitOne(t.Context(), backendAt(t, address))
	if got := storage.OutcomeOf(err); got != storage.Unapplied || !errors.Is(err, storage.ErrUnavailable) {
		t.Errorf("nobody listens: %v (%v), want ErrUnavailable, not applied", err, got)
	}
	if err != nil && !strings.Contains(err.Error(), address) {
		t.Errorf("the error %q does not name the address", err)
	}
}

// silent reads requests and never answers.
func silent(t *testing.T) *httptest.Server {
	t.Helper()
	over := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		<-over
	}))
	t.Cleanup(func() {
		close(over)
		s.Close()
	})
	return s
}

func TestSilentServer(t *testing.T) {
	s := silent(t)

	t.Run("own timeout", func(t *testing.T) {
		b := backendAt(t, s.URL, func(c *Config) { c.Timeout = 100 * time.Millisecond })
		err := commitOne(t.Context(), b)
		if got := storage.OutcomeOf(err); got != storage.Unknown || !errors.Is(err, storage.ErrUnavailable) {
			t.Errorf("%v (%v), want ErrUnavailable, outcome unknown", err, got)
		}
		if _, err := b.Get(t.Context(), "k"); !errors.Is(err, storage.ErrUnavailable) {
			t.Errorf("get: %v, want ErrUnavailable", err)
		}
	})

	t.Run("caller's deadline", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		err := commitOne(ctx, backendAt(t, s.URL))
		if got := storage.OutcomeOf(err); got != storage.Unknown || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v (%v), want the context's error, outcome unknown", err, got)
		}
	})

	t.Run("context over before", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		err := commitOne(ctx, backendAt(t, s.URL))
		if got := storage.OutcomeOf(err); got != storage.Unapplied || !errors.Is(err, context.Canceled) {
			t.Errorf("%v (%v), want the context's error, not applied", err, got)
		}
	})

	t.Run("reads wait for a permit, commits do not", func(t *testing.T) {
		b := backendAt(t, s.URL, func(c *Config) { c.MaxParallel = 1 })
		b.permits <- struct{}{}
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if _, err := b.Get(ctx, "k"); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "max_parallel") {
			t.Errorf("get: %v, want the context's error that names max_parallel", err)
		}
		err := b.Write(ctx, []storage.Op{storage.Delete("k")})
		if got := storage.OutcomeOf(err); got != storage.Unapplied {
			t.Errorf("write that waited in vain: %v (%v), want not applied", err, got)
		}
	})
}

// Another web server's 404 is not an absent key.
func TestNotFoundOfAnotherServer(t *testing.T) {
	s := fake(t, http.NotFound)
	b := backendAt(t, s.URL)
	if _, err := b.Get(t.Context(), "k"); !errors.Is(err, storage.ErrUnavailable) || errors.Is(err, storage.ErrNotFound) {
		t.Errorf("get: %v, want ErrUnavailable", err)
	}
	if names, err := b.List(t.Context(), "", "", 0); !errors.Is(err, storage.ErrUnavailable) {
		t.Errorf("list: %q, %v, want ErrUnavailable", names, err)
	}
	if _, _, err := open(t.Context(), Config{
		Address: s.URL, Scheme: "http", MaxParallel: 1, Timeout: time.Second, TxnMaxOps: 64, TLSMinVersion: "tls12",
	}, hclog.NewNullLogger()); err == nil || !strings.Contains(err.Error(), "address") {
		t.Errorf("open: %v, want an error that names address", err)
	}
}

// Configuration alone decides who is asked, and as whom.
func TestEnvironmentIsIgnored(t *testing.T) {
	for name, value := range map[string]string{
		"CONSUL_HTTP_ADDR": "127.0.0.1:1", "CONSUL_HTTP_TOKEN": "stray", "CONSUL_HTTP_TOKEN_FILE": "/does/not/exist",
		"CONSUL_HTTP_AUTH": "user:stray", "CONSUL_HTTP_SSL": "true", "CONSUL_NAMESPACE": "stray", "CONSUL_PARTITION": "stray",
		"HTTP_PROXY": "http://127.0.0.1:1", "CONSUL_CACERT": "/does/not/exist",
	} {
		t.Setenv(name, value)
	}
	for _, token := range []string{"", "ours"} {
		s := fake(t, func(w http.ResponseWriter, r *http.Request) {
			if got := r.Header.Get(tokenHeader); got != token {
				t.Errorf("the token sent is %q, want %q", got, token)
			}
			if r.Header.Get("Authorization") != "" || strings.Contains(r.URL.RawQuery, "stray") {
				t.Errorf("the request has something of the environment: %s", r.URL)
			}
			w.Header().Set("X-Consul-Index", "7")
			w.WriteHeader(http.StatusNotFound)
		})
		b := backendAt(t, s.URL, func(c *Config) { c.Token = token })
		if _, err := b.Get(t.Context(), "k"); !errors.Is(err, storage.ErrNotFound) {
			t.Errorf("get: %v, want ErrNotFound", err)
		}
	}
}

func TestTLS(t *testing.T) {
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Consul-Index", "7")
		w.WriteHeader(http.StatusNotFound)
	}))
	t.Cleanup(s.Close)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	block := &pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}
	if err := os.WriteFile(ca, pem.EncodeToMemory(block), 0o600); err != nil {
		t.Fatal(err)
	}

	trusting := backendAt(t, s.URL, func(c *Config) { c.TLSCAFile = ca })
	if _, err := trusting.Get(t.Context(), "k"); !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("with tls_ca_file: %v, want ErrNotFound", err)
	}
	stranger := backendAt(t, s.URL)
	err := commitOne(t.Context(), stranger)
	if got := storage.OutcomeOf(err); got != storage.Unapplied || !errors.Is(err, storage.ErrUnavailable) {
		t.Errorf("without tls_ca_file: %v (%v), want ErrUnavailable, not applied", err, got)
	}

	c := defaults()
	c.Address, c.TLSCAFile = s.URL, ca+".missing"
	if _, err := newBackend(c, hclog.NewNullLogger()); err == nil || !strings.Contains(err.Error(), "tls_ca_file") {
		t.Errorf("a missing CA file: %v, want an error that names tls_ca_file", err)
	}
}
