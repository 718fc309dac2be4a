package seal

import (
	"bytes"
	"errors"
	"regexp"
	"sync"
	"sync/atomic"
	"testing"
)

func newAttempt(t *testing.T, shares, threshold int) *Attempt {
	t.Helper()
	a, err := NewAttempt(shares, threshold)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestAttempt(t *testing.T) {
	want, split := generate(t, 5, 3)
	a := newAttempt(t, 5, 3)
	if a.Nonce() != "" || a.Progress() != 0 {
		t.Errorf("before the first share: nonce %q, progress %d", a.Nonce(), a.Progress())
	}
	for i, share := range split[1:3] {
		if complete, err := a.Add(share); complete != nil || err != nil {
			t.Fatalf("Add = %d shares, %v", len(complete), err)
		}
		if got := a.Progress(); got != i+1 {
			t.Errorf("Progress = %d, want %d", got, i+1)
		}
	}
	first := a.Nonce()
	if !regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`).MatchString(first) {
		t.Errorf("nonce %q is not a UUID", first)
	}
	complete, err := a.Add(split[4])
	if err != nil || len(complete) != 3 {
		t.Fatalf("Add = %d shares, %v, want 3", len(complete), err)
	}
	if got, err := Combine(complete, 3); err != nil || !bytes.Equal(got, want) {
		t.Errorf("the shares collected give another key, %v", err)
	}
	if a.Nonce() != "" || a.Progress() != 0 {
		t.Errorf("after the last share: nonce %q, progress %d", a.Nonce(), a.Progress())
	}
	if _, err := a.Add(split[0]); err != nil || a.Nonce() == first {
		t.Errorf("the next attempt: %v, same nonce: %t", err, a.Nonce() == first)
	}
	a.Reset()
	if a.Nonce() != "" || a.Progress() != 0 {
		t.Errorf("after a reset: nonce %q, progress %d", a.Nonce(), a.Progress())
	}
}

func TestAttemptRefuses(t *testing.T) {
	_, split := generate(t, 5, 3)
	_, foreign := generate(t, 5, 3)
	a := newAttempt(t, 4, 3)
	if _, err := a.Add(split[0]); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Add(split[0]); !errors.Is(err, ErrDuplicateShare) {
		t.Errorf("the same share again = %v, want ErrDuplicateShare", err)
	}
	for name, share := range map[string][]byte{
		"another share of that number": foreign[0],
		"a number above the last":      split[4],
		"a short share":                split[1][:10],
	} {
		if _, err := a.Add(share); !errors.Is(err, ErrBadShare) || errors.Is(err, ErrDuplicateShare) {
			t.Errorf("%s = %v, want ErrBadShare", name, err)
		}
	}
	if got := a.Progress(); got != 1 {
		t.Errorf("Progress = %d, want 1: what is refused changes nothing", got)
	}
}

func TestAttemptKeepsItsOwnCopy(t *testing.T) {
	_, split := generate(t, 2, 2)
	a := newAttempt(t, 2, 2)
	given := bytes.Clone(split[0])
	if _, err := a.Add(given); err != nil {
		t.Fatal(err)
	}
	clear(given)
	complete, err := a.Add(split[1])
	if err != nil || !bytes.Equal(complete[0], split[0]) {
		t.Errorf("zeroing what was given reached the attempt, %v", err)
	}
}

func TestAttemptCompletesOnceUnderConcurrency(t *testing.T) {
	_, split := generate(t, 20, 20)
	a := newAttempt(t, 20, 20)
	var completed atomic.Int32
	var wg sync.WaitGroup
	for _, share := range split {
		wg.Go(func() {
			complete, err := a.Add(share)
			if err != nil {
				t.Errorf("Add = %v", err)
			}
			if complete != nil {
				completed.Add(1)
			}
		})
	}
	wg.Wait()
	if got := completed.Load(); got != 1 {
		t.Errorf("completed %d times, want once", got)
	}
}
