package api

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/holdfast/holdfast/host/kv"
)

// kvV1 answers for a path in a version 1 mount.
func kvV1(ctx context.Context, m kv.V1, c *call, path string) (answer, error) {
	switch {
	case c.Method == "LIST":
		return listed(m.List(ctx, path))
	case path == "":
		return answer{}, notAllowed() // the mount itself can only be listed
	case c.Method == http.MethodGet:
		raw, err := m.Get(ctx, path)
		if err != nil {
			return answer{}, err
		}
		// One level is decoded: the members' values stay as they were given.
		var data map[string]json.RawMessage
		if err := json.Unmarshal(raw, &data); err != nil {
			return answer{}, err
		}
		members := object{}
		for name, value := range data {
			members[name] = value
		}
		return answer{data: members, leaseSeconds: kv.LeaseSeconds}, nil
	case c.isWrite():
		if len(c.Body) == 0 {
			return answer{}, badRequest("missing data fields")
		}
		return written(), m.Put(ctx, path, c.Body)
	case c.Method == http.MethodDelete:
		return written(), m.Delete(ctx, path)
	default:
		return answer{}, notAllowed()
	}
}

// listed is the answer to a LIST.
func listed(names []string, err error) (answer, error) {
	if err != nil {
		return answer{}, err
	}
	return readOf(object{"keys": names}), nil
}
