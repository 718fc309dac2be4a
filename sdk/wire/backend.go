package wire

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"

	pb "github.com/holdfast/holdfast/sdk/proto/holdfast/storage/v1"
	"github.com/holdfast/holdfast/sdk/storage"
)

var _ storage.HABackend = (*Backend)(nil)

// closeTimeout bounds Close, which has no context: the process that holds the
// backend may be frozen.
const closeTimeout = 2 * time.Second

// Backend is a backend inside a plugin. It checks keys and limits before it sends and
// answers before it returns them. Its Commit and Watch answer ErrUnsupported if
// the plugin does not offer the HABackend service.
type Backend struct {
	client       *Client
	id           string // random, given by Configure
	ha           bool   // the plugin offers HABackend
	capabilities storage.Capabilities
	wills        atomic.Uint64 // Arms and Disarms so far
}

// Capabilities are what the backend declared when it was configured.
func (b *Backend) Capabilities() storage.Capabilities { return b.capabilities }

// HA reports whether the plugin offers Commit and Watch. See also
// Capabilities().HADisabled.
func (b *Backend) HA() bool { return b.ha }

// Get implements storage.Backend.
func (b *Backend) Get(ctx context.Context, key string) (storage.Item, error) {
	if err := b.capabilities.Limits.CheckKey(key); err != nil {
		return storage.Item{}, b.refused("get", err)
	}
	resp, err := invoke(ctx, b.client, "get", b.client.backend.Get, &pb.GetRequest{BackendId: b.id, Key: key})
	if err != nil {
		return storage.Item{}, err
	}
	return b.item("get", resp.GetItem())
}

// List implements storage.Backend.
func (b *Backend) List(ctx context.Context, prefix, after string, limit int) ([]string, error) {
	if err := storage.ValidatePrefix(prefix); err != nil {
		return nil, b.refused("list", err)
	}
	req := &pb.ListRequest{BackendId: b.id, Prefix: prefix, After: after, Limit: int64(max(limit, 0))}
	resp, err := invoke(ctx, b.client, "list", b.client.backend.List, req, grpc.MaxCallRecvMsgSize(MaxListBytes))
	if err != nil {
		return nil, err
	}
	names := resp.GetNames()
	if limit > 0 && len(names) > limit {
		return nil, b.client.broken("list", fmt.Sprintf("it returned %d names, asked for %d", len(names), limit))
	}
	last := after
	for _, name := range names {
		if name <= last {
			return nil, b.client.broken("list", "names are not in ascending order after the one asked for")
		}
		last = name
	}
	return names, nil
}

// Write implements storage.Backend.
func (b *Backend) Write(ctx context.Context, ops []storage.Op) error {
	if err := b.capabilities.Limits.CheckBatch(nil, ops); err != nil {
		return b.refused("write", err)
	}
	req := &pb.WriteRequest{BackendId: b.id, Ops: opsToProto(ops)}
	_, err := invoke(ctx, b.client, "write", b.client.backend.Write, req)
	return err
}

// Commit implements storage.HABackend.
func (b *Backend) Commit(ctx context.Context, guard storage.Guard, ops []storage.Op) (storage.Version, error) {
	if !b.ha {
		return "", storage.NotApplied(b.refused("commit", storage.ErrUnsupported))
	}
	if err := checkCommit(b.capabilities.Limits, guard, ops); err != nil {
		return "", b.refused("commit", err)
	}
	req := &pb.CommitRequest{BackendId: b.id, Guard: guardToProto(guard), Ops: opsToProto(ops)}
	resp, err := invoke(ctx, b.client, "commit", b.client.ha.Commit, req)
	if err != nil {
		return "", err
	}
	version := storage.Version(resp.GetVersion())
	switch {
	case version == "":
		return "", b.client.broken("commit", "it returned no version")
	case version == guard.Version:
		return "", b.client.broken("commit", "it returned the version that was replaced")
	case len(version) > storage.MaxVersionBytes:
		return "", b.client.broken("commit", versionTooLong(version))
	}
	return version, nil
}

// Watch implements storage.HABackend.
func (b *Backend) Watch(ctx context.Context, key string, seen storage.Version) (storage.Item, error) {
	if !b.ha {
		return storage.Item{}, storage.NotApplied(b.refused("watch", storage.ErrUnsupported))
	}
	if err := errors.Join(b.capabilities.Limits.CheckKey(key), checkVersion(seen)); err != nil {
		return storage.Item{}, b.refused("watch", err)
	}
	req := &pb.WatchRequest{BackendId: b.id, Key: key, Seen: []byte(seen)}
	resp, err := invoke(ctx, b.client, "watch", b.client.ha.Watch, req)
	if err != nil {
		return storage.Item{}, err
	}
	item, err := b.item("watch", resp.GetItem())
	if err == nil && item.Version == seen {
		return storage.Item{}, b.client.broken("watch", "it returned the version already seen")
	}
	return item, err
}

// Arm leaves a last will with the plugin, in place of the one before: once this process is
// dead, the plugin moves the record at key from the last state that this Backend's Commits
// gave it to value. It is of use in a plugin that this process has started and given a pidfd
// of itself. A plugin that takes no wills answers storage.ErrUnsupported.
func (b *Backend) Arm(ctx context.Context, key string, value []byte) error {
	req := &pb.ArmRequest{BackendId: b.id, Number: b.wills.Add(1), Key: key, Value: value}
	_, err := invoke(ctx, b.client, "arm the last will", b.client.will.Arm, req)
	return err
}

// Disarm takes the last will back. After nil, no Arm that was made before takes effect,
// however late it arrives.
func (b *Backend) Disarm(ctx context.Context) error {
	req := &pb.DisarmRequest{BackendId: b.id, Number: b.wills.Add(1)}
	_, err := invoke(ctx, b.client, "disarm the last will", b.client.will.Disarm, req)
	return err
}

// Close frees the backend in the plugin, within two seconds. A plugin that has
// forgotten the backend is content too.
func (b *Backend) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout) //nolint:forbidigo // io.Closer has no context
	defer cancel()
	_, err := invoke(ctx, b.client, "close", b.client.plugin.Close, &pb.CloseRequest{BackendId: b.id})
	return err
}

// refused is the error of a request that was not sent.
func (b *Backend) refused(call string, err error) error {
	return &callError{plugin: b.client.name, call: call, message: err.Error(), cause: err}
}

func (b *Backend) item(call string, it *pb.Item) (storage.Item, error) {
	version := storage.Version(it.GetVersion())
	switch {
	case it == nil:
		return storage.Item{}, b.client.broken(call, "it returned no item")
	case version == "" && b.ha:
		return storage.Item{}, b.client.broken(call, "it returned an item without a version")
	case len(version) > storage.MaxVersionBytes:
		return storage.Item{}, b.client.broken(call, versionTooLong(version))
	case len(it.GetValue()) > MaxLimits().MaxValueBytes: // its own limits may have been larger when the value was written
		return storage.Item{}, b.client.broken(call, fmt.Sprintf("it returned a value of %d bytes, no plugin may hold more than %d",
			len(it.GetValue()), MaxLimits().MaxValueBytes))
	}
	return storage.Item{Value: it.GetValue(), Version: version}, nil
}

func versionTooLong(v storage.Version) string {
	return fmt.Sprintf("it returned a version of %d bytes, the most is %d", len(v), storage.MaxVersionBytes)
}
