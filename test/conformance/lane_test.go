package conformance

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/holdfast/holdfast/sdk/storage"
)

// steady makes call until it finds the store available: on a busy machine a store may be away
// for a moment.
func (l *lane) steady(ctx context.Context, call func() error) error {
	for {
		err := call()
		if !errors.Is(err, storage.ErrUnavailable) || ctx.Err() != nil {
			return err
		}
		l.outages++
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
		}
	}
}

func (l *lane) get(ctx context.Context, key string) string {
	var got storage.Item
	err := l.steady(ctx, func() (err error) {
		got, err = l.node().Get(ctx, key)
		return err
	})
	want, wantErr := l.model.get(l.limits, key)
	if l.class(err) != class(wantErr) || string(got.Value) != string(want.value) {
		return fmt.Sprintf("get %q: got %d bytes, %v, want %d bytes, %v", key, len(got.Value), err, len(want.value), wantErr)
	}
	if err != nil {
		return ""
	}
	return l.model.observe(key, got.Version)
}

func (l *lane) list(ctx context.Context) string {
	prefix, after := l.dir, ""
	if key := strings.TrimPrefix(l.key(), l.dir); l.rng.IntN(2) == 0 && strings.Contains(key, "/") {
		prefix += key[:strings.LastIndex(key, "/")+1]
	}
	switch l.rng.IntN(4) {
	case 0:
		after = segments[l.rng.IntN(len(segments))]
	case 1:
		after = segments[l.rng.IntN(len(segments))] + "/"
	}
	if l.rng.IntN(40) == 0 {
		prefix = strings.TrimSuffix(prefix, "/") // is no prefix
	}
	limit := l.rng.IntN(12) - 2
	var got []string
	err := l.steady(ctx, func() (err error) {
		got, err = l.node().List(ctx, prefix, after, limit)
		return err
	})
	want, wantErr := l.model.list(prefix, after, limit)
	if l.class(err) != class(wantErr) || !slices.Equal(got, want) {
		return fmt.Sprintf("list %q after %q limit %d: got %q, %v, want %q, %v", prefix, after, limit, got, err, want, wantErr)
	}
	return ""
}

func (l *lane) write(ctx context.Context) string {
	ops := l.batch()
	err := l.steady(ctx, func() error { return l.node().Write(ctx, ops) }) // nobody else writes these keys
	if wantErr := l.model.write(l.limits, ops); l.class(err) != class(wantErr) {
		return fmt.Sprintf("write of %d ops: got %v, want %v", len(ops), err, wantErr)
	}
	return ""
}

func (l *lane) commit(ctx context.Context) string {
	key := l.key()
	if difference := l.get(ctx, key); difference != "" { // and learn the version
		return difference
	}
	guard := storage.Guard{Key: key, Version: l.model.version(key), Value: l.value()}
	if item, err := l.model.get(l.limits, key); err == nil {
		guard.Prev = item.value
	}
	if l.rng.IntN(3) == 0 { // another version, or the same after all
		guard.Version = l.model.someVersion(l.rng, key)
	}
	ops := l.batch()
	version, err := l.settle(ctx, guard, ops)
	if wantErr := l.model.commit(l.limits, guard, ops); l.class(err) != class(wantErr) {
		return fmt.Sprintf("commit of %q at %q with %d ops: got %v, want %v", key, guard.Version, len(ops), err, wantErr)
	}
	if err != nil {
		return ""
	}
	return l.model.observe(key, version)
}

// settle makes a Commit until its outcome is known. A conflict after an unknown outcome is one
// with itself if the guard has left the version that it had before, for nobody else moves it.
func (l *lane) settle(ctx context.Context, guard storage.Guard, ops []storage.Op) (version storage.Version, err error) {
	unknown := false
	err = l.steady(ctx, func() error {
		version, err = l.node().Commit(ctx, guard, ops)
		unknown = unknown || storage.OutcomeOf(err) == storage.Unknown
		return err
	})
	if !unknown || !errors.Is(err, storage.ErrConflict) {
		return version, err
	}
	var now storage.Item
	if readErr := l.steady(ctx, func() (err error) {
		now, err = l.node().Get(ctx, guard.Key)
		return err
	}); readErr != nil && !errors.Is(readErr, storage.ErrNotFound) {
		return "", readErr
	}
	if now.Version == l.model.version(guard.Key) {
		return "", err
	}
	return now.Version, nil
}

// watch looks from a version that the key is not at: to wait is another test.
func (l *lane) watch(ctx context.Context) string {
	key := l.key()
	if difference := l.get(ctx, key); difference != "" {
		return difference
	}
	seen := l.model.someVersion(l.rng, key)
	if seen == l.model.version(key) {
		seen = "none such"
	}
	var got storage.Item
	err := l.steady(ctx, func() (err error) {
		got, err = l.node().Watch(ctx, key, seen)
		return err
	})
	want, wantErr := l.model.get(l.limits, key)
	if l.class(err) != class(wantErr) || string(got.Value) != string(want.value) {
		return fmt.Sprintf("watch %q from %q: got %d bytes, %v, want %d bytes, %v", key, seen, len(got.Value), err, len(want.value), wantErr)
	}
	if err != nil {
		return ""
	}
	return l.model.observe(key, got.Version)
}

// class is the sentinel of the error of a plugin, which is counted.
func (l *lane) class(err error) string {
	l.answers[class(err)]++
	return class(err)
}

// class is the text of the sentinel of an error.
func class(err error) string {
	if err == nil {
		return success
	}
	for _, sentinel := range []error{
		storage.ErrNotFound, storage.ErrConflict, storage.ErrTooLarge, storage.ErrInvalidKey, storage.ErrUnsupported, storage.ErrUnavailable,
	} {
		if errors.Is(err, sentinel) {
			return sentinel.Error()
		}
	}
	return err.Error()
}

// success is the class of no error.
const success = "success"
