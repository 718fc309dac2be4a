package consul

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/holdfast/holdfast/sdk/storage"
)

// readError explains why a read failed. ctx is the caller's.
func (b *Backend) readError(ctx context.Context, a *attempt, err error) error {
	b.recognised.Store(nil) // what fails may be another cluster's by now
	if ctx.Err() != nil {
		return fmt.Errorf("read from consul at %s: %w", b.address, ctx.Err())
	}
	return fmt.Errorf("%w: read from consul at %s: %w", storage.ErrUnavailable, b.address, b.explain(a, err))
}

// writeError explains why a transaction failed, and whether it is certain that it
// was not applied. ctx is the caller's.
func (b *Backend) writeError(ctx context.Context, a *attempt, err error) error {
	b.recognised.Store(nil) // as above
	if a.status.Load() == http.StatusRequestEntityTooLarge {
		// Within the advertised limits, so the servers' are lower than the defaults.
		return fmt.Errorf("write to consul at %s (are kv_max_value_size, txn_max_req_len or the transaction's operations limited there?): %w: %w",
			b.address, &storage.TooLargeError{What: "batch", Unit: "bytes", Limit: b.limits.MaxBatchBytes}, cause(err))
	}
	if ctx.Err() != nil {
		err = fmt.Errorf("write to consul at %s: %w", b.address, ctx.Err())
	} else {
		err = fmt.Errorf("%w: write to consul at %s: %w", storage.ErrUnavailable, b.address, b.explain(a, err))
	}
	if a.notApplied() {
		return storage.NotApplied(err)
	}
	return err
}

// notApplied reports whether the transaction certainly was and will be refused: it
// never left, or the server answered with a status it gives only before the
// transaction enters the log. A 5xx says nothing: Consul answers 500 as well when
// it loses the leader while the transaction is under way.
func (a *attempt) notApplied() bool {
	if !a.sent.Load() {
		return true
	}
	switch a.status.Load() {
	case http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound,
		http.StatusMethodNotAllowed, http.StatusTooManyRequests:
		return true
	}
	return false
}

// explain adds what to do about the statuses that only an operator can change.
func (b *Backend) explain(a *attempt, err error) error {
	if errors.Is(err, errFiltered) { // with any status
		return fmt.Errorf("set token to one with key_prefix %q policy write: %w", b.path, err)
	}
	switch a.status.Load() {
	case http.StatusForbidden:
		return fmt.Errorf("the token is refused; set token to one with key_prefix %q policy write: %w", b.path, cause(err))
	case http.StatusTooManyRequests:
		return fmt.Errorf("the server's request rate limit is reached: %w", cause(err))
	case http.StatusNotFound, http.StatusMethodNotAllowed:
		return fmt.Errorf("this does not look like a Consul HTTP API; check address: %w", cause(err))
	case 0:
		if errors.Is(err, context.DeadlineExceeded) {
			return fmt.Errorf("no answer within %v", b.timeout)
		}
	}
	return cause(err)
}

// cause strips the URL, which names a key, from an error of net/http.
func cause(err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		return u.Err
	}
	return err
}
