package kv

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/holdfast/holdfast/host/store"
)

// Delete marks the newest version of path as deleted; Undelete takes that back. No
// error if there is none, or it is deleted already.
func (v V2) Delete(ctx context.Context, path string) error {
	return v.mark(ctx, path, func(r *record) []int { return []int{r.current()} }, v.markDeleted)
}

// DeleteVersions marks the given versions of path as deleted. Versions that do not
// exist are passed over, here and below.
func (v V2) DeleteVersions(ctx context.Context, path string, versions []int) error {
	if err := checkVersions(versions); err != nil {
		return err
	}
	return v.mark(ctx, path, func(*record) []int { return versions }, v.markDeleted)
}

// Undelete makes deleted versions of path readable again, unless they were destroyed.
func (v V2) Undelete(ctx context.Context, path string, versions []int) error {
	if err := checkVersions(versions); err != nil {
		return err
	}
	undelete := func(rev *revision) bool {
		if rev.Destroyed || rev.Deletion.IsZero() {
			return false
		}
		rev.Deletion = revision{}.Deletion
		return true
	}
	return v.mark(ctx, path, func(*record) []int { return versions }, undelete)
}

func (v V2) markDeleted(rev *revision) bool {
	now := v.now().UTC()
	if !rev.live(now) {
		return false
	}
	rev.Deletion = now
	return true
}

// mark calls fn for the versions that choose returns and writes the metadata if any
// call reported a change.
func (v V2) mark(ctx context.Context, path string, choose func(*record) []int, fn func(*revision) bool) error {
	return v.edit(ctx, path, func(e *edit) error {
		if e.record == nil {
			return nil
		}
		for _, n := range choose(e.record) {
			if rev := e.record.find(n); rev != nil && fn(rev) {
				e.record.Updated = v.now().UTC()
				e.save = true
			}
		}
		return nil
	})
}

// Destroy removes the data of the given versions for good. None of them can be read
// once the first batch is committed; where their data does not fit in it, further
// batches follow. After an error send it again: it also finishes what was begun.
func (v V2) Destroy(ctx context.Context, path string, versions []int) error {
	if err := checkVersions(versions); err != nil {
		return err
	}
	versions = slices.Compact(slices.Sorted(slices.Values(versions)))
	committed := false
	for batch := range slices.Chunk(versions, deletesPerBatch) {
		err := v.edit(ctx, path, func(e *edit) error {
			if e.record == nil {
				return nil
			}
			if !committed {
				e.record.destroy(versions)
				e.record.Updated = v.now().UTC()
				e.save = true
			}
			for _, n := range batch {
				// Not destroyed: the path was purged since the first batch and is another one now.
				if rev := e.record.find(n); rev != nil && rev.Destroyed {
					e.tx.Delete(versionKey(e.data, n))
				}
			}
			return nil
		})
		if err != nil {
			return partly(committed, err)
		}
		committed = true
	}
	return nil
}

func (r *record) destroy(versions []int) {
	for _, n := range versions {
		if rev := r.find(n); rev != nil {
			rev.Destroyed = true
		}
	}
}

// Purge removes path with its metadata and all versions. More versions than fit in
// one batch go in several, the oldest first and the metadata last. After an error
// send it again.
func (v V2) Purge(ctx context.Context, path string) error {
	committed := false
	for {
		done := false
		err := v.edit(ctx, path, func(e *edit) error {
			r := e.record
			if r == nil {
				done = true
				return nil
			}
			r.forget(r.First + deletesPerBatch - r.Oldest)
			e.sweep(deletesPerBatch)
			done = r.First > r.current()
			if done {
				e.tx.Delete(e.meta)
			}
			e.save = !done
			return nil
		})
		if err != nil {
			return partly(committed, err)
		}
		if done {
			return nil
		}
		committed = true
	}
}

// partly turns the error of a later batch into an unknown outcome: whoever hears that
// nothing was applied would believe in versions that are gone.
func partly(committed bool, err error) error {
	if !committed || errors.Is(err, store.ErrOutcomeUnknown) {
		return err
	}
	return fmt.Errorf("%w: part of it is done, send it again: %v", store.ErrOutcomeUnknown, err) //nolint:errorlint // err says "not applied", which is not so of the whole
}

func checkVersions(versions []int) error {
	if len(versions) == 0 {
		return fmt.Errorf("%w: no version number provided", ErrInvalid)
	}
	if len(versions) > maxMaxVersions {
		return fmt.Errorf("%w: %d versions, the most is %d", ErrInvalid, len(versions), maxMaxVersions)
	}
	if slices.Min(versions) < 1 {
		return fmt.Errorf("%w: versions are numbered from 1", ErrInvalid)
	}
	return nil
}
