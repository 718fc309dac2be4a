package main

import (
	"context"
	"math"
	"strings"

	"github.com/jackc/pgx/v5"
)

// listSQL returns the statement of List. It goes along the index of the keys from name to name,
// and passes over what lies below a directory in one step: a page costs what it has in names,
// however many keys there are. As one statement it sees one state.
//
// $1 is the prefix, $2 the least key that may come, $3 the most names. No key has a control
// character, so the key after K begins at K || chr(1); '0' comes after '/'.
func listSQL(n names) string {
	return strings.ReplaceAll(`
WITH RECURSIVE walk(number, key) AS (
	(SELECT 1::bigint, key FROM TABLE WHERE key >= $2 ORDER BY key LIMIT 1)
UNION ALL
	SELECT number + 1, (
		SELECT next.key FROM TABLE AS next
		WHERE next.key >= CASE strpos(substr(walk.key, length($1) + 1), '/')
			WHEN 0 THEN walk.key || chr(1)
			ELSE $1 || split_part(substr(walk.key, length($1) + 1), '/', 1) || '0' END
		ORDER BY next.key LIMIT 1)
	FROM walk WHERE number < $3 AND starts_with(walk.key, $1)
)
SELECT split_part(rest, '/', 1) || CASE strpos(rest, '/') WHEN 0 THEN '' ELSE '/' END
FROM (SELECT number, substr(key, length($1) + 1) AS rest FROM walk WHERE starts_with(key, $1)) AS names
ORDER BY number`, "TABLE", n.table)
}

// List implements storage.Backend.
func (b *Backend) List(ctx context.Context, prefix, after string, limit int) ([]string, error) {
	callCtx, cancel := context.WithTimeout(ctx, b.timeout)
	defer cancel()
	most := int64(limit)
	if limit <= 0 {
		most = math.MaxInt64
	}
	rows, err := b.pool.Query(callCtx, b.sql.list, prefix, prefix+past(after), most)
	if err != nil {
		return nil, callError(ctx, "list in", err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, callError(ctx, "list in", err)
	}
	return names, nil
}

// past returns the least that a key below the prefix can begin with if its name comes
// after the name after. What follows a slash in after makes no difference: no name has more
// than the one at its end.
func past(after string) string {
	name, _, isDirectory := strings.Cut(after, "/")
	switch {
	case after == "":
		return ""
	case isDirectory:
		return name + string(rune('/'+1))
	}
	return name + "\x01"
}
