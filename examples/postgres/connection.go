package main

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
)

// abandonedAfter is how long PostgreSQL keeps a transaction that waits for its next statement.
// A transaction here sends them at once; one that waits belongs to a node that was frozen or
// cut off, and holds the guard's row. A busy machine takes a second now and then.
const abandonedAfter = 5 * time.Second

// connectionSetup prepares each new connection, the first one's table included: so a database
// that comes later than the plugin is prepared when it comes.
type connectionSetup struct {
	table   names
	timeout time.Duration // for one statement, also when nobody waits for its end any more
	create  bool          // the table, if it is missing
}

// prepare is for pgxpool.Config.AfterConnect.
func (s connectionSetup) prepare(ctx context.Context, conn *pgx.Conn) error {
	// The pool goes on without the caller whose turn it was.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.timeout)
	defer cancel()
	encoding := conn.PgConn().ParameterStatus("server_encoding")
	if encoding != "UTF8" {
		return &unsuitableError{fmt.Sprintf("the database has the encoding %s and keys are UTF-8: create one with ENCODING 'UTF8'", encoding)}
	}
	var exists bool
	if err := conn.QueryRow(ctx, settings, milliseconds(s.timeout), milliseconds(abandonedAfter), s.table.table).Scan(&exists); err != nil {
		return fmt.Errorf("set up the connection: %w", err)
	}
	switch {
	case exists:
		return nil
	case !s.create:
		return &unsuitableError{fmt.Sprintf("there is no table %s, and skip_create_table is set", s.table.table)}
	}
	if err := s.createTable(ctx, conn); err != nil {
		return fmt.Errorf("create the table %s: %w", s.table.table, err)
	}
	return nil
}

// settings are those of a connection, whatever the database's own are. A COMMIT returns when
// the transaction is on disk, at least; how many replicas must have it is for the database
// to say. Statements here are short: to compile one takes longer than to run it.
const settings = `
SELECT to_regclass($3) IS NOT NULL FROM (SELECT
	set_config('statement_timeout', $1, false),
	set_config('lock_timeout', $1, false),
	set_config('idle_in_transaction_session_timeout', $2, false),
	set_config('synchronous_commit', replace(current_setting('synchronous_commit'), 'off', 'on'), false),
	set_config('jit', 'off', false)
) AS settings`

func milliseconds(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }

// createTable is for several nodes at once: IF NOT EXISTS alone fails when another
// transaction creates the same thing. The lock ends with the transaction.
func (s connectionSetup) createTable(ctx context.Context, conn *pgx.Conn) error {
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock(hashtextextended($1, 0))`, s.table.table); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `CREATE SEQUENCE IF NOT EXISTS `+s.table.sequence)
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `CREATE TABLE IF NOT EXISTS `+s.table.table+` (
			key     text COLLATE "C" PRIMARY KEY,
			value   bytea NOT NULL,
			version bigint NOT NULL
		)`)
		return err
	})
}
