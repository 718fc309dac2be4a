package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/holdfast/holdfast/host/ha"
)

// provable is a term record that can be read while the store takes no Commits.
type provable struct {
	reads int
	gate  chan struct{} // what a read waits for; nil = nothing
	err   error
}

func (p *provable) prove(ctx context.Context) error {
	p.reads++
	if err := pass(ctx, p.gate); err != nil {
		return err
	}
	return p.err
}

// refuse lets the Commit that is due fail, as a store does that is full.
func (f *fixture) refuse(why string) {
	f.Take()
	f.Resolve(ha.Again, errors.New(why))
}

func TestReadOfTheRecordConfirmsWhereTheStoreTakesNoCommits(t *testing.T) {
	record := &provable{}
	runWith(t, Config{Prove: record.prove}, func(f *fixture) {
		f.SetLease(bubbleNow())
		for range 3 {
			first, second := f.confirm(false), f.confirm(false)
			f.refuse("full")
			f.equal("confirmed", []error{first.wait(), second.wait()}, "[<nil> <nil>]")
		}
		// Before the first refusal both waited for a Commit, and then for one read.
		f.equal("reads of the record", record.reads, 1+2+2)
		time.Sleep(time.Minute) // of the bubble
		f.equal("reads when nobody asks", record.reads, 1+2+2)
	})
}

// A read of the record that began before a request says nothing about the request.
func TestReadOfTheRecordConfirmsOnlyWhatCameBefore(t *testing.T) {
	record := &provable{}
	runWith(t, Config{Prove: record.prove}, func(f *fixture) {
		record.gate = make(chan struct{})
		f.SetLease(bubbleNow())
		first := f.confirm(false)
		time.Sleep(2 * proofPause) // of the bubble
		second := f.confirm(false)
		record.gate <- struct{}{}
		f.equal("before", first.wait(), nil)
		f.equal("after", second.pending(), true)
		close(record.gate)
		f.equal("by the next one", second.wait(), nil)
		f.equal("reads of the record", record.reads, 2)
	})
}

func TestCommitsConfirmWithoutReadsOfTheRecord(t *testing.T) {
	record := &provable{}
	runWith(t, Config{Prove: record.prove, Strict: true}, func(f *fixture) {
		for range 100 {
			r := f.confirm(false)
			time.Sleep(proofPause / 4) // of the bubble
			f.commit()
			f.equal("confirmed", r.wait(), nil)
		}
		f.equal("reads of the record", record.reads, 0)
	})
}

func TestRecordThatSaysOtherwiseConfirmsNothing(t *testing.T) {
	record := &provable{err: errors.New("another node holds it")}
	runWith(t, Config{Prove: record.prove, Hold: time.Second}, func(f *fixture) {
		f.SetLease(bubbleNow())
		ctx := f.beginFor(time.Minute)
		if err := f.Confirm(ctx, false); !errors.Is(err, ErrNotActive) {
			t.Errorf("got %v, want %v", err, ErrNotActive)
		}
		// What the record said of one tenure says nothing of another.
		record.err, record.gate = nil, make(chan struct{})
		old := f.confirm(false)
		time.Sleep(2 * proofPause) // of the bubble
		f.Shut()
		f.open()
		close(record.gate)
		if err := old.wait(); !errors.Is(err, ErrNotActive) {
			t.Errorf("a request of the tenure before: %v, want %v", err, ErrNotActive)
		}
	})
}

func TestWriteThatWaitedInVainSaysWhy(t *testing.T) {
	runWith(t, Config{Hold: time.Second}, func(f *fixture) {
		put := func() *result {
			ctx := f.beginFor(time.Minute)
			return f.start(func() error { return f.Put(ctx, "k", nil) })
		}
		for _, why := range []string{"", "the NOSPACE alarm is raised"} {
			write := put()
			if why != "" {
				f.refuse(why)
			}
			if err := write.wait(); !errors.Is(err, ErrNotActive) || !strings.Contains(fmt.Sprint(err), why) {
				t.Errorf("got %v, want %v that says %q", err, ErrNotActive, why)
			}
		}
		f.commit() // the store takes writes again
		if err := put().wait(); !errors.Is(err, ErrNotActive) || strings.Contains(fmt.Sprint(err), "NOSPACE") {
			t.Errorf("got %v, want nothing of what is over", err)
		}
	})
}
