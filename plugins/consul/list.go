package consul

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/hashicorp/consul/api"

	"github.com/holdfast/holdfast/sdk/storage"
)

// List returns the names directly below prefix. Consul folds what lies deeper but
// knows no pages: every call moves all names of the directory, so a page costs as
// much as the whole, and the answer is given up (ErrTooLarge) when it has more than
// max_directory names. Names that something else has put below the path are
// returned too, as they are stored.
func (b *Backend) List(ctx context.Context, prefix, after string, limit int) ([]string, error) {
	release, err := b.permit(ctx)
	if err != nil {
		return nil, err
	}
	defer release()
	rctx, a, cancel := begin(ctx, b.timeout)
	defer cancel()
	a.maxNames = b.maxDirectory
	dir := b.name(prefix)
	query := &api.QueryOptions{RequireConsistent: true}
	found, meta, err := b.client.KV().Keys(dir, "/", query.WithContext(rctx))
	switch {
	case errors.Is(err, errManyNames):
		return nil, fmt.Errorf("list in consul at %s: %w; option max_directory is the limit", b.address,
			&storage.TooLargeError{What: "directory", Unit: "names", Limit: b.maxDirectory})
	case err != nil:
		return nil, b.readError(ctx, a, err)
	case meta.LastIndex == 0:
		return nil, b.readError(ctx, a, errNoIndex)
	case meta.ResultsFilteredByACLs:
		return nil, b.readError(ctx, a, errFiltered)
	}
	names := make([]string, 0, len(found))
	for _, full := range found {
		name, err := b.below(prefix, full)
		if err != nil {
			return nil, fmt.Errorf("%w: list in consul at %s: %w", storage.ErrUnavailable, b.address, err)
		}
		if name > after {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	names = slices.Compact(names)
	if limit > 0 && len(names) > limit {
		names = names[:limit]
	}
	return names, nil
}

// errManyNames: the answer to a List was given up.
var errManyNames = errors.New("the directory has too many names")

// namesBody is the answer to a List: an array of strings in JSON. It counts them as they
// are read, so that no more than the limit are ever held in memory.
type namesBody struct {
	io.ReadCloser
	left    int  // quotation marks that may still come
	escaped bool // the next byte follows a backslash
}

// Read reads into p, or returns errManyNames when there are more names than allowed.
func (b *namesBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	for _, c := range p[:n] {
		switch {
		case b.escaped:
			b.escaped = false
		case c == '\\':
			b.escaped = true
		case c == '"':
			b.left--
		}
	}
	if b.left < 0 {
		return 0, errManyNames
	}
	return n, err
}

// errFiltered: a listing that lacks what the token may not see would look like
// lost data.
var errFiltered = errors.New("the token may not read all of the directory")

// below returns what Consul's name full is below prefix. The empty name, which
// Consul's web interface gives to a directory it creates, sorts before every
// after and so is never listed.
func (b *Backend) below(prefix, full string) (string, error) {
	stored, ok := strings.CutPrefix(full, b.name(prefix))
	if !ok {
		return "", errors.New("the answer has a key outside of the prefix asked for")
	}
	key, ours := decodeKey(strings.TrimPrefix(full, b.path))
	if !ours {
		return stored, nil
	}
	return strings.TrimPrefix(key, prefix), nil
}
