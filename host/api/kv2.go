package api

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/holdfast/holdfast/host/kv"
)

// kvV2 answers for the paths in a version 2 mount.
type kvV2 struct{ mount kv.V2 }

func (k kvV2) handle(ctx context.Context, c *call, rest string) (answer, error) {
	op, path, _ := strings.Cut(rest, "/")
	switch {
	case op == "config" && path == "":
		return k.config(ctx, c)
	case op == "metadata":
		return k.metadata(ctx, c, path)
	case path == "":
	case op == "data":
		return k.data(ctx, c, path)
	case op == "delete":
		return k.versions(ctx, c, path, k.mount.DeleteVersions)
	case op == "undelete":
		return k.versions(ctx, c, path, k.mount.Undelete)
	case op == "destroy":
		return k.versions(ctx, c, path, k.mount.Destroy)
	}
	return answer{}, notFound("no such path in a version 2 kv mount: " +
		"below it are data/, metadata/, delete/, undelete/, destroy/ (each followed by the secret's path) and config")
}

func (k kvV2) data(ctx context.Context, c *call, path string) (answer, error) {
	switch {
	case c.Method == http.MethodGet:
		n, err := versionParam(c.Query)
		if err != nil {
			return answer{}, err
		}
		secret, err := k.mount.Get(ctx, path, n)
		if err != nil {
			return answer{}, err
		}
		a := readOf(object{"data": secret.Data, "metadata": versionView(secret.Version)})
		if secret.Data == nil {
			a.status = http.StatusNotFound // with a body: clients show when it was deleted
		}
		return a, nil
	case c.isWrite():
		return k.write(ctx, c, path, k.mount.Put)
	case c.Method == http.MethodPatch:
		return k.write(ctx, c, path, k.mount.Patch)
	case c.Method == http.MethodDelete:
		return written(), k.mount.Delete(ctx, path)
	default:
		return answer{}, notAllowed()
	}
}

func (k kvV2) write(
	ctx context.Context, c *call, path string,
	fn func(ctx context.Context, path string, data json.RawMessage, cas *int) (kv.Version, error),
) (answer, error) {
	var body struct {
		Data    json.RawMessage `json:"data"`
		Options struct {
			CAS *number `json:"cas"`
		} `json:"options"`
	}
	if err := decodeBody(c.Body, &body); err != nil {
		return answer{}, err
	}
	if body.Data == nil || string(body.Data) == "null" {
		return answer{}, badRequest("no data provided")
	}
	v, err := fn(ctx, path, body.Data, (*int)(body.Options.CAS))
	if err != nil {
		return answer{}, err
	}
	return answer{data: versionView(v), settled: true}, nil
}

func (k kvV2) versions(
	ctx context.Context, c *call, path string, fn func(ctx context.Context, path string, versions []int) error,
) (answer, error) {
	if !c.isWrite() {
		return answer{}, notAllowed()
	}
	var body struct {
		Versions numbers `json:"versions"`
	}
	if err := decodeBody(c.Body, &body); err != nil {
		return answer{}, err
	}
	return written(), fn(ctx, path, body.Versions)
}

// versionParam returns the version that ?version= asks for, 0 if it is not there.
func versionParam(query map[string][]string) (int, error) {
	text := query["version"]
	if len(text) == 0 {
		return 0, nil
	}
	n, err := strconv.Atoi(text[0])
	if err != nil || n < 0 {
		return 0, badRequest("version: want a whole number, 0 for the newest version")
	}
	return n, nil
}

func versionView(v kv.Version) object {
	return object{
		"version": v.Number, "created_time": timeView(v.Created), "deletion_time": timeView(v.Deletion),
		"destroyed": v.Destroyed, "custom_metadata": customView(v.Custom),
	}
}

// timeView returns t as clients parse it; the zero time is empty.
func timeView(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}

// customView returns the custom metadata, or null where there is none.
func customView(custom map[string]string) any {
	if len(custom) == 0 {
		return nil
	}
	return custom
}
