package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/holdfast/holdfast/sdk"
	"github.com/holdfast/holdfast/sdk/storage"
	"github.com/holdfast/holdfast/sdk/storagetest"
	"github.com/holdfast/holdfast/test/servers"
)

// opener returns a function that opens a Backend of a new database, as another node would.
func opener(t *testing.T) func(ctx context.Context) (*Backend, storage.Capabilities, error) {
	t.Helper()
	config := defaults()
	config.ConnectionURL = servers.PostgreSQL(t).URL()
	return func(ctx context.Context) (*Backend, storage.Capabilities, error) {
		return open(ctx, config, sdk.Env{Logger: hclog.NewNullLogger()})
	}
}

func TestContract(t *testing.T) {
	openNode := opener(t)
	storagetest.Run(t, storagetest.Harness{
		Open:   func(ctx context.Context) (storage.Backend, storage.Capabilities, error) { return openNode(ctx) },
		Expect: []storagetest.Profile{storagetest.Core, storagetest.Txn, storagetest.HA},
	})
}

// Nodes that start at once on an empty database all create the table.
func TestNodesCreateOneTable(t *testing.T) {
	openNode := opener(t)
	var nodes sync.WaitGroup
	for i := range 8 {
		nodes.Go(func() {
			b, _, err := openNode(t.Context())
			if err != nil {
				t.Errorf("node %d: %v", i, err)
				return
			}
			if err := errors.Join(b.Write(t.Context(), []storage.Op{storage.Put(fmt.Sprint(i), nil)}), b.Close()); err != nil {
				t.Errorf("node %d: %v", i, err)
			}
		})
	}
	nodes.Wait()
}

// A page reads the index entries of its names, and not what lies below a directory.
func TestListReadsNoSubtree(t *testing.T) {
	b, _, err := opener(t)(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}()
	if _, err := b.pool.Exec(t.Context(), `INSERT INTO holdfast (key, value, version)
		SELECT 'dir/' || d || '/' || k, '', nextval('holdfast_version') FROM generate_series(1, 10) d, generate_series(1, 5000) k`); err != nil {
		t.Fatal(err)
	}
	if _, err := b.pool.Exec(t.Context(), `VACUUM ANALYZE holdfast`); err != nil {
		t.Fatal(err)
	}
	rows, err := b.pool.Query(t.Context(), `EXPLAIN (ANALYZE, BUFFERS, COSTS off, TIMING off, SUMMARY off) `+b.sql.list, "dir/", "dir/", int64(100))
	if err != nil {
		t.Fatal(err)
	}
	var plan strings.Builder
	for rows.Next() {
		var line string
		if err := rows.Scan(&line); err != nil {
			t.Fatal(err)
		}
		plan.WriteString(line + "\n")
	}
	var hits, reads int
	_, buffers, _ := strings.Cut(plan.String(), "shared ") // of the whole statement, which comes first
	for word := range strings.FieldsSeq(strings.SplitN(buffers, "\n", 2)[0]) {
		_, _ = fmt.Sscanf(word, "hit=%d", &hits)
		_, _ = fmt.Sscanf(word, "read=%d", &reads)
	}
	// 11 steps down an index of three levels, with a look at whether each row is visible.
	const most = 11 * 8
	if pages := hits + reads; pages == 0 || pages > most {
		t.Errorf("a page of 10 names read %d pages of the database, want 1 to %d:\n%s", pages, most, plan.String())
	}
	if names, err := b.List(t.Context(), "dir/", "3", 2); err != nil || strings.Join(names, " ") != "3/ 4/" {
		t.Errorf("two names after 3: got %q, %v, want 3/ and 4/", names, err)
	}
}

// Batches over the same keys, with different guards and in different orders, never wait for
// each other in a circle.
func TestNoDeadlocks(t *testing.T) {
	openNode := opener(t)
	var nodes sync.WaitGroup
	for node := range 4 {
		nodes.Go(func() {
			b, _, err := openNode(t.Context())
			if err != nil {
				t.Error(err)
				return
			}
			guard := storage.Guard{Key: []string{"a", "m", "q", "z"}[node]}
			for round := range 100 {
				ops := []storage.Op{storage.Put("x", nil), storage.Delete("c"), storage.Put("n", nil), storage.Put("b", nil)}
				if (round+node)%2 == 0 {
					ops[0], ops[1], ops[3] = storage.Put("c", nil), storage.Put("b", nil), storage.Delete("x")
				}
				if guard.Version, err = b.Commit(t.Context(), guard, ops); err != nil {
					t.Errorf("node %d, round %d: %v", node, round, err)
					break
				}
			}
			if err := b.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	nodes.Wait()
}

func TestOptions(t *testing.T) {
	const secret = "hunter2-and-more"
	for want, change := range map[string]func(c *Config){
		`option "connection_url"`: func(c *Config) { c.ConnectionURL = "postgres://u:" + secret + "@[::1:5432/db" },
		`option "table"`:          func(c *Config) { c.Table = "a.b.c" },
		`option "max_parallel"`:   func(c *Config) { c.MaxParallel = 0 },
		`option "timeout"`:        func(c *Config) { c.Timeout = 0 },
	} {
		c := defaults()
		c.ConnectionURL = "postgres://127.0.0.1:5432/db"
		change(&c)
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), secret) {
			t.Errorf("got %v, want it to name %s and no secret", err, want)
		}
	}
}

// A name in quotes is a name, whatever is in it.
func TestTableNames(t *testing.T) {
	c := Config{Table: `my "app"'s.hold fast`}
	got, err := c.table()
	want := names{table: `"my ""app""'s"."hold fast"`, sequence: `"my ""app""'s"."hold fast_version"`}
	if err != nil || got != want {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
}
