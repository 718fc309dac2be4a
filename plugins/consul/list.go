package consul

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/consul/api"

	"github.com/holdfast/holdfast/sdk/storage"
)

// List returns the names directly below prefix. Consul folds what lies deeper but
// knows no pages: every call moves all names of the directory, so a page costs as
// much as the whole. Names that something else has put below the path are
// returned too, as they are stored.
func (b *Backend) List(ctx context.Context, prefix, after string, limit int) ([]string, error) {
	release, err := b.permit(ctx)
	if err != nil {
		return nil, err
	}
	defer release()
	rctx, a, cancel := begin(ctx, b.timeout)
	defer cancel()
	dir := b.name(prefix)
	query := &api.QueryOptions{RequireConsistent: true}
	found, meta, err := b.client.KV().Keys(dir, "/", query.WithContext(rctx))
	switch {
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
