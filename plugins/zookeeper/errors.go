package zookeeper

import (
	"context"
	"errors"
	"fmt"

	"github.com/go-zookeeper/zk"

	"github.com/holdfast/holdfast/sdk/storage"
)

// serverSays reports whether err is a server's answer about the request itself. Such a
// write was not applied. Everything else came of the connection or the session.
func serverSays(err error) bool {
	for _, answer := range []error{
		zk.ErrNoNode, zk.ErrNodeExists, zk.ErrNotEmpty, zk.ErrBadVersion, zk.ErrNoAuth,
		zk.ErrInvalidACL, zk.ErrBadArguments, zk.ErrNoChildrenForEphemerals, zk.ErrInvalidPath,
	} {
		if errors.Is(err, answer) {
			return true
		}
	}
	return false
}

// hint says what to do about the answers that only an operator can change.
func hint(err error) error {
	switch {
	case errors.Is(err, zk.ErrNoAuth):
		return fmt.Errorf("permission denied; auth_info must be of a user that owns the nodes below path (znode_owner): %w", err)
	case errors.Is(err, zk.ErrInvalidACL):
		return fmt.Errorf("znode_owner is not an identity the servers know: %w", err)
	case errors.Is(err, zk.ErrAuthFailed):
		return fmt.Errorf("the servers do not know the scheme of auth_info, or refuse it: %w", err)
	}
	return err
}

// failed explains why a call failed. caller is the context it was made with; within, the
// one that also has the option timeout.
func (b *Backend) failed(caller context.Context, doing string, err error) error {
	switch {
	case errors.Is(err, storage.ErrConflict):
		return err
	case errors.Is(err, storage.ErrTooLarge):
		return fmt.Errorf("%s zookeeper at %s: %w", doing, b.address, err)
	case caller.Err() != nil:
		return fmt.Errorf("%s zookeeper at %s: %w", doing, b.address, caller.Err())
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%w: %s zookeeper at %s: no answer within %v", storage.ErrUnavailable, doing, b.address, b.timeout)
	}
	return fmt.Errorf("%w: %s zookeeper at %s: %w", storage.ErrUnavailable, doing, b.address, hint(err))
}

// refused is the error of a batch that the servers or the rules of the tree do not allow
// because of one of its operations. It was not applied.
func (b *Backend) refused(about int, err error) error {
	err = fmt.Errorf("%w: write to zookeeper at %s: %w", storage.ErrUnavailable, b.address, hint(err))
	if about >= 0 {
		err = &storage.OpError{Index: about, Err: err}
	}
	return storage.NotApplied(err)
}

// overDirectory is the error of a directory that has, or would have, too many names.
func overDirectory(size, limit int) error {
	return fmt.Errorf("%w; option max_directory is the limit",
		&storage.TooLargeError{What: "directory", Unit: "names", Size: size, Limit: limit})
}
