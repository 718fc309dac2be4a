package main

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Config is the storage stanza. The names are those of Vault's PostgreSQL storage, where
// it has the same options.
type Config struct {
	ConnectionURL   string        `config:"connection_url" desc:"postgres:// URL of the database; of several hosts the one that takes writes is used" required:"true" secret:"true"`
	Username        string        `config:"username" desc:"user, instead of the one in connection_url"`
	Password        string        `config:"password" desc:"password, instead of the one in connection_url" secret:"true"`
	Database        string        `config:"database" desc:"name of the database, instead of the one in connection_url"`
	Table           string        `config:"table" desc:"table to keep the data in, or schema.table; it is created"`
	SkipCreateTable bool          `config:"skip_create_table" desc:"do not create the table and its sequence, they are there"`
	MaxParallel     int           `config:"max_parallel" desc:"most connections of this node; PostgreSQL takes 100 of all nodes, unless told otherwise"`
	Timeout         time.Duration `config:"timeout" desc:"most time for one call"`
	VaultOnly
}

// VaultOnly are options of Vault that are accepted and do nothing here: the leader is
// elected in the one table, and connections are kept as long as they are of use.
type VaultOnly struct {
	HATable            string `config:"ha_table" desc:"not used: there is one table"`
	MaxIdleConnections int    `config:"max_idle_connections" desc:"not used"`
}

// defaults are the values of options that are not set.
func defaults() Config {
	return Config{Table: "holdfast", MaxParallel: 16, Timeout: 10 * time.Second}
}

// connectTimeout is how long it may take to reach the database, unless connection_url says.
const connectTimeout = 5 * time.Second

// longestName is what PostgreSQL cuts names to, less what is added for the sequence.
const longestName = 63 - len(sequenceSuffix)

// Validate reports every option that can not work, by name. The SDK calls it after decoding.
func (c *Config) Validate() error {
	var errs []error
	if _, err := c.pool(); err != nil {
		errs = append(errs, err)
	}
	if _, err := c.table(); err != nil {
		errs = append(errs, err)
	}
	if c.MaxParallel < 1 || c.MaxParallel > math.MaxInt16 {
		errs = append(errs, fmt.Errorf("option %q is %d, want 1 to %d", "max_parallel", c.MaxParallel, math.MaxInt16))
	}
	if c.Timeout < time.Millisecond {
		errs = append(errs, fmt.Errorf("option %q is %v, want 1ms at least", "timeout", c.Timeout))
	}
	return errors.Join(errs...)
}

// pool returns how to connect. The error does not repeat the URL, which may hold a password,
// and neither does it wrap one of the parser's, which might.
func (c *Config) pool() (*pgxpool.Config, error) {
	pool, err := pgxpool.ParseConfig(c.ConnectionURL)
	if err != nil {
		return nil, fmt.Errorf("option %q can not be understood: want postgres://USER:PASSWORD@HOST:PORT/DATABASE", "connection_url")
	}
	connect := pool.ConnConfig
	for target, value := range map[*string]string{
		&connect.User: c.Username, &connect.Password: c.Password, &connect.Database: c.Database,
	} {
		if value != "" {
			*target = value
		}
	}
	connect.RuntimeParams["application_name"] = "holdfast"
	if connect.ConnectTimeout == 0 {
		connect.ConnectTimeout = connectTimeout
	}
	if connect.ValidateConnect == nil { // no target_session_attrs: what is a replica is no use
		connect.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsReadWrite
	}
	pool.MaxConns = int32(min(c.MaxParallel, math.MaxInt16))
	return pool, nil
}

// sequenceSuffix makes the name of the sequence of that of the table.
const sequenceSuffix = "_version"

// table returns the quoted names of the table and its sequence.
func (c *Config) table() (names, error) {
	parts := strings.Split(c.Table, ".")
	last := len(parts) - 1
	if last > 1 {
		return names{}, fmt.Errorf("option %q is %q, want TABLE or SCHEMA.TABLE", "table", c.Table)
	}
	for _, part := range parts {
		if part == "" || len(part) > longestName || strings.ContainsRune(part, 0) {
			return names{}, fmt.Errorf("option %q is %q, want names of 1 to %d bytes", "table", c.Table, longestName)
		}
	}
	table := pgx.Identifier(parts).Sanitize()
	parts[last] += sequenceSuffix
	return names{table: table, sequence: pgx.Identifier(parts).Sanitize()}, nil
}

// names are identifiers, quoted for SQL.
type names struct{ table, sequence string }
