package plugin

import (
	"context"
	"errors"
	"testing"

	"github.com/holdfast/holdfast/sdk/storage"
)

// A call that finds the connection lost does not rely on somebody else having seen it.
func TestCallReportsALostConnection(t *testing.T) {
	nowhere, err := attach("unix:///nowhere")
	if err != nil {
		t.Fatal(err)
	}
	defer nowhere.stop(0)
	run := &session{peer: nowhere, failed: make(chan struct{})}
	s := &Storage{current: run, changed: make(chan struct{})}
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // acquire would wait for a replacement
	if _, err := s.acquire(ctx); !errors.Is(err, storage.ErrUnavailable) || storage.OutcomeOf(err) != storage.Unapplied {
		t.Errorf("got %v, want ErrUnavailable and that nothing was sent", err)
	}
	select {
	case <-run.failed:
	default:
		t.Fatal("the session has not failed: nobody replaces it")
	}
	if !errors.Is(run.reason, errGone) {
		t.Errorf("it failed with %v, want %v", run.reason, errGone)
	}
}
