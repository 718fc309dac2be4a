package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/holdfast/holdfast/sdk"
	"github.com/holdfast/holdfast/sdk/storage"
)

var _ storage.HABackend = (*Backend)(nil)

// Backend keeps each key in a row of one table. It is safe for concurrent use.
type Backend struct {
	pool    *pgxpool.Pool
	sql     statements
	timeout time.Duration
}

// limits are what one transaction takes without pains. PostgreSQL itself takes far more.
func limits() storage.Limits {
	return storage.Limits{
		MaxKeyBytes:   storage.MaxKeyBytes, // an entry of an index may have 2,704 bytes
		MaxValueBytes: 1 << 20,
		MaxOps:        512,
		MaxBatchBytes: 4 << 20,
	}
}

// open returns a Backend for a config that is valid. A database that refuses this user, or
// can not hold the table, is an error; one that does not answer is not: a node that starts
// while the database is down waits for it like the others do.
func open(ctx context.Context, config Config, env sdk.Env) (*Backend, storage.Capabilities, error) {
	none := storage.Capabilities{}
	settings, err := config.pool()
	if err != nil {
		return nil, none, err
	}
	table, err := config.table()
	if err != nil {
		return nil, none, err
	}
	setup := connectionSetup{table: table, timeout: config.Timeout, create: !config.SkipCreateTable}
	settings.AfterConnect = setup.prepare
	pool, err := pgxpool.NewWithConfig(ctx, settings)
	if err != nil {
		return nil, none, fmt.Errorf("create the connection pool: %w", err)
	}
	b := &Backend{pool: pool, sql: newStatements(table), timeout: config.Timeout}
	pingCtx, cancel := context.WithTimeout(ctx, min(config.Timeout, connectTimeout))
	defer cancel()
	switch err := pool.Ping(pingCtx); {
	case err != nil && isRefusal(err):
		return nil, none, errors.Join(fmt.Errorf("prepare the table in PostgreSQL: %w", err), b.Close())
	case err != nil:
		env.Logger.Warn("PostgreSQL does not answer yet", "error", err)
	}
	return b, storage.Capabilities{Limits: limits()}, nil
}

// Get implements storage.Backend. A statement sees all that was committed before it began.
func (b *Backend) Get(ctx context.Context, key string) (storage.Item, error) {
	callCtx, cancel := context.WithTimeout(ctx, b.timeout)
	defer cancel()
	var item storage.Item
	var version int64
	err := b.pool.QueryRow(callCtx, b.sql.get, key).Scan(&item.Value, &version)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return storage.Item{}, storage.ErrNotFound
	case err != nil:
		return storage.Item{}, callError(ctx, "read from", err)
	}
	item.Version = formatVersion(version)
	return item, nil
}

// watchInterval is how often a stand-by looks. LISTEN would hold a connection for each watch
// open, and NOTIFY makes all commits of a database queue for one lock.
const watchInterval = 200 * time.Millisecond

// Watch implements storage.HABackend.
func (b *Backend) Watch(ctx context.Context, key string, seen storage.Version) (storage.Item, error) {
	return sdk.PollWatch(ctx, b.Get, key, seen, watchInterval)
}

// Close implements storage.Backend. It takes as long as the database needs to hang up, and no
// longer than the 15 s after which pgx does.
func (b *Backend) Close() error {
	b.pool.Close()
	return nil
}
