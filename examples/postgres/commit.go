package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/holdfast/holdfast/sdk/storage"
)

// statements are the SQL texts for one table.
type statements struct{ get, list, put, remove, create, move, moveFrom string }

func newStatements(n names) statements {
	next := `nextval('` + strings.ReplaceAll(n.sequence, `'`, `''`) + `')`
	move := `UPDATE ` + n.table + ` SET value = $2, version = ` + next + ` WHERE key = $1 AND version = $3`
	insert := `INSERT INTO ` + n.table + ` (key, value, version) VALUES ($1, $2, ` + next + `) ON CONFLICT (key) DO `
	return statements{
		get:    `SELECT value, version FROM ` + n.table + ` WHERE key = $1`,
		list:   listSQL(n),
		put:    insert + `UPDATE SET value = excluded.value, version = excluded.version`,
		remove: `DELETE FROM ` + n.table + ` WHERE key = $1`,
		// These three move a guard, and return no row if it is at another version.
		create:   insert + `NOTHING RETURNING version`,
		move:     move + ` RETURNING version`,
		moveFrom: move + ` AND value = $4 RETURNING version`,
	}
}

// change is what a transaction does to one key.
type change struct {
	key   string
	sql   string
	args  []any
	moved func(row pgx.Row) error // for the guard
	then  string                  // another statement about the same key; empty: there is none
}

// Write implements storage.Backend.
func (b *Backend) Write(ctx context.Context, ops []storage.Op) error {
	return b.transact(ctx, b.changes(ops))
}

// Commit implements storage.HABackend.
func (b *Backend) Commit(ctx context.Context, guard storage.Guard, ops []storage.Op) (storage.Version, error) {
	version, ok := parseVersion(guard.Version)
	if !ok {
		return "", fmt.Errorf("%w: the version is not one of this storage's", storage.ErrConflict)
	}
	var next int64
	move := change{key: guard.Key, args: []any{guard.Key, notNull(guard.Value)}, moved: func(row pgx.Row) error {
		err := row.Scan(&next)
		if errors.Is(err, pgx.ErrNoRows) {
			return storage.ErrConflict
		}
		return err
	}}
	switch {
	case version == 0:
		move.sql = b.sql.create
	case len(guard.Prev) == 0:
		move.sql, move.args = b.sql.move, append(move.args, version)
	default: // a restored backup gives versions a second time, with other values
		move.sql, move.args = b.sql.moveFrom, append(move.args, version, guard.Prev)
	}
	if err := b.transact(ctx, append(b.changes(ops), move)); err != nil {
		return "", err
	}
	return formatVersion(next), nil
}

func (b *Backend) changes(ops []storage.Op) []change {
	changes := make([]change, 0, len(ops)+1)
	for _, op := range ops {
		c := change{key: op.Key, sql: b.sql.put, args: []any{op.Key, notNull(op.Value)}}
		if op.Kind == storage.OpDelete {
			// A DELETE waits for nobody who is about to insert the row. What makes it wait is
			// to insert the row first.
			c.args[1], c.then = []byte{}, b.sql.remove
		}
		changes = append(changes, c)
	}
	return changes
}

// notNull keeps an empty value from becoming NULL.
func notNull(value []byte) []byte {
	if value == nil {
		return []byte{}
	}
	return value
}

// transact makes all changes in one transaction, which is sent once. They are made in the
// order of their keys, the guard among them: so transactions wait for each other's rows in
// one order, and never in a circle.
//
// READ COMMITTED suffices, and never fails for other transactions' sake: each change waits for
// whoever has changed its row, and the one that moves the guard then looks at it again. So all
// rows are held at the moment of COMMIT, and transactions follow each other.
func (b *Backend) transact(ctx context.Context, changes []change) error {
	slices.SortFunc(changes, func(x, y change) int { return cmp.Compare(x.key, y.key) })
	callCtx, cancel := context.WithTimeout(ctx, b.timeout)
	defer cancel()
	tx, err := b.pool.BeginTx(callCtx, pgx.TxOptions{IsoLevel: pgx.ReadCommitted})
	if err != nil {
		return storage.NotApplied(callError(ctx, "begin a transaction in", err))
	}
	var batch pgx.Batch
	for _, c := range changes {
		queued := batch.Queue(c.sql, c.args...)
		if c.moved != nil {
			queued.QueryRow(c.moved)
		}
		if c.then != "" {
			batch.Queue(c.then, c.key)
		}
	}
	// A COMMIT that waits for a replica must not be cut short by the server: it would say
	// that it has succeeded.
	batch.Queue(`SET LOCAL statement_timeout = 0`)
	if err := tx.SendBatch(callCtx, &batch).Close(); err != nil {
		// Without COMMIT nothing is ever applied: a connection on which this fails is closed.
		_ = tx.Rollback(callCtx)
		if errors.Is(err, storage.ErrConflict) {
			return err
		}
		return storage.NotApplied(callError(ctx, "write to", err))
	}
	if err := tx.Commit(callCtx); err != nil {
		return commitError(ctx, err)
	}
	return nil
}

// formatVersion is the Version of a row.
func formatVersion(version int64) storage.Version {
	return storage.Version(strconv.FormatInt(version, 10))
}

// parseVersion is the inverse of formatVersion, and 0 for the zero Version: a sequence
// begins with 1. ok is false for a version that no row can have.
func parseVersion(v storage.Version) (version int64, ok bool) {
	if v == "" {
		return 0, true
	}
	version, err := strconv.ParseInt(string(v), 10, 64)
	return version, err == nil && version > 0 && formatVersion(version) == v
}
