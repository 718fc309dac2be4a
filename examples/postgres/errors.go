package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/holdfast/holdfast/sdk/storage"
)

// unsuitableError: there is a database, and it can not be used as it is.
type unsuitableError struct{ text string }

func (e *unsuitableError) Error() string { return e.text }

// callError explains why a call failed. ctx is the caller's. PostgreSQL's own words hold no
// value, and pgx hides passwords.
func callError(ctx context.Context, doing string, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("%s PostgreSQL: %w", doing, ctx.Err())
	}
	return fmt.Errorf("%w: %s PostgreSQL: %w", storage.ErrUnavailable, doing, err)
}

// commitError explains why a COMMIT failed, and whether it is certain that it did nothing.
// When the connection is lost, or the server ends it, the transaction may have been committed;
// pgconn.SafeToRetry does not help, for it is true of some of these errors.
func commitError(ctx context.Context, err error) error {
	failure := callError(ctx, "commit a transaction in", err)
	if isRolledBack(err) {
		return storage.NotApplied(failure)
	}
	return failure
}

// isRolledBack reports whether PostgreSQL has rolled the transaction back: 23, for an integrity
// constraint; 25, for the transaction's state (25P03: it was idle for too long); or because
// of other transactions (40001, serialization failure; 40P01, deadlock).
func isRolledBack(err error) bool {
	return errors.Is(err, pgx.ErrTxCommitRollback) || inClass(err, "23", "25", "40001", "40P01")
}

// isRefusal reports whether a database refuses for good, until an operator changes something:
// 28, this user; 3D, there is no such database; 3F, no such schema; 42, no permission, or a
// table of another make.
func isRefusal(err error) bool {
	_, unsuitable := errors.AsType[*unsuitableError](err)
	return unsuitable || inClass(err, "28", "3D", "3F", "42")
}

// inClass reports whether the server has answered with an error of one of the classes, whose
// codes begin like it.
func inClass(err error, classes ...string) bool {
	answer, ok := errors.AsType[*pgconn.PgError](err)
	if !ok {
		return false
	}
	for _, class := range classes {
		if strings.HasPrefix(answer.Code, class) {
			return true
		}
	}
	return false
}
