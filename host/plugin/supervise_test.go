package plugin_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/holdfast/holdfast/host/plugin"
	"github.com/holdfast/holdfast/sdk/storage"
)

func TestStorage(t *testing.T) {
	s, _ := open(t, plugin.Spec{Type: "good", Directory: directory(t, "good"), Options: map[string]any{"path": "x/", "n": 3}})
	ctx := within(t, patience)
	if got, want := s.Capabilities(), (storage.Capabilities{Limits: limits}); got != want {
		t.Errorf("got capabilities %+v, want %+v", got, want)
	}
	if !s.HA() {
		t.Error("HA is not seen")
	}
	if got, want := about(t, s, "config"), `{"n":3,"path":"x/"}`; got != want {
		t.Errorf("plugin was configured with %s, want %s", got, want)
	}
	version, err := s.Commit(ctx, storage.Guard{Key: "guard", Value: []byte("1")}, []storage.Op{storage.Put("a/b", []byte("c"))})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Commit(ctx, storage.Guard{Key: "guard"}, nil); !errors.Is(err, storage.ErrConflict) {
		t.Errorf("got %v, want ErrConflict", err)
	}
	if item, err := s.Get(ctx, "guard"); err != nil || item.Version != version {
		t.Errorf("got version %q, %v, want %q", item.Version, err, version)
	}
	if names, err := s.List(ctx, "a/", "", 0); err != nil || len(names) != 1 || names[0] != "b" {
		t.Errorf("got %q, %v, want b", names, err)
	}
	info := s.Info()
	if info.Name != "good" || info.Version != "1.2.3" || info.SDK != "test" || info.Restarts != 0 || info.LastError != nil {
		t.Errorf("got %+v", info)
	}
	if got, want := info.PID, pidOf(t, s, "pid"); got != want {
		t.Errorf("got pid %d, want %d", got, want)
	}
}

// A plugin that dies or freezes is replaced, configured again, and no call needs to know.
func TestRestart(t *testing.T) {
	for _, tt := range []struct {
		name   string
		signal syscall.Signal
		reason string
	}{
		{"killed", syscall.SIGKILL, "signal: killed"},
		{"crashed", syscall.SIGSEGV, "plugin gone"},
		{"frozen", syscall.SIGSTOP, "plugin is frozen"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			socketDir := sockets(t)
			s, _ := open(t, plugin.Spec{Type: "good", Directory: directory(t, "good"), Options: map[string]any{"path": "x/"}})
			for i := range 2 {
				pid := pidOf(t, s, "pid")
				inFlight := watch(t, s)
				send(t, pid, tt.signal)
				if err := <-inFlight; !errors.Is(err, storage.ErrUnavailable) {
					t.Errorf("call in flight: got %v, want ErrUnavailable", err)
				}
				if got := pidOf(t, s, "pid"); got == pid || s.Info().PID != got || s.Info().Restarts != i+1 {
					t.Errorf("process %d answers after %d died; got %+v", got, pid, s.Info())
				}
				if runs(pid) {
					t.Errorf("process %d still runs", pid)
				}
				if got, want := about(t, s, "config"), `{"path":"x/"}`; got != want {
					t.Errorf("plugin was configured with %s, want %s", got, want)
				}
				if err := s.Info().LastError; err == nil || !strings.Contains(err.Error(), tt.reason) {
					t.Errorf("got last error %v, want %q", err, tt.reason)
				}
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
			checkNothingLeft(t, socketDir)
		})
	}
}

// A plugin that does not answer, while the process that was started does not look
// stopped, is replaced when the host's patience with it is over. Here a wrapper stands between.
func TestSilentPluginIsReplaced(t *testing.T) {
	dir := directory(t, "good")
	wrapper := filepath.Join(dir, "wrapper")
	text := "#!/bin/sh\n" + strconv.Quote(filepath.Join(dir, "holdfast-storage-good")) + " & wait\n"
	if err := os.WriteFile(wrapper, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	s, _ := open(t, plugin.Spec{
		Type: "good", Directory: dir, Command: "wrapper",
		Patience: plugin.Patience{Stopped: time.Hour, Silent: time.Second},
	})
	pid := pidOf(t, s, "pid")
	send(t, pid, syscall.SIGSTOP)
	// A call made at once may still be answered by a thread on another processor.
	eventually(t, "another process answers", func() bool { return pidOf(t, s, "pid") != pid })
	eventually(t, "the silent process ends", func() bool { return !runs(pid) })
	if err := s.Info().LastError; err == nil || !strings.Contains(err.Error(), "does not answer") {
		t.Errorf("got last error %v, want that it does not answer", err)
	}
}

// watch makes a call that does not end by itself, and returns its error when it does.
func watch(t *testing.T, s *plugin.Storage) <-chan error {
	t.Helper()
	ctx := within(t, patience)
	result := make(chan error, 1)
	go func() {
		_, err := s.Watch(ctx, "nothing", "")
		result <- err
	}()
	return result
}

// A write in the middle of which the process dies may have been applied.
func TestWriteInFlightIsUnknown(t *testing.T) {
	s, _ := open(t, plugin.Spec{Type: "good", Directory: directory(t, "good")})
	_, err := s.Commit(within(t, patience), storage.Guard{Key: "guard"}, []storage.Op{storage.Put("die", nil)})
	if !errors.Is(err, storage.ErrUnavailable) || storage.OutcomeOf(err) != storage.Unknown {
		t.Errorf("got %v (%v), want ErrUnavailable with an unknown outcome", err, storage.OutcomeOf(err))
	}
	if _, err := s.Get(within(t, patience), "about/pid"); err != nil {
		t.Errorf("get after the restart: %v", err)
	}
}

// A read does not fail because the plugin dies before, during or after it.
func TestReadSurvivesCrash(t *testing.T) {
	s, _ := open(t, plugin.Spec{Type: "good", Directory: directory(t, "good")})
	for range 5 {
		var readers sync.WaitGroup
		pid := pidOf(t, s, "pid")
		for range 4 {
			readers.Go(func() {
				for s.Info().PID == pid {
					if _, err := s.Get(t.Context(), "about/pid"); err != nil {
						t.Error(err)
					}
					if _, err := s.List(t.Context(), "about/", "", 0); err != nil {
						t.Error(err)
					}
				}
			})
		}
		send(t, pid, syscall.SIGKILL)
		readers.Wait()
	}
}

// Calls wait for a plugin that does not come back until their context ends, then say that
// nothing was applied, and why.
func TestCallsWaitWhileDown(t *testing.T) {
	dir := directory(t, "good")
	s, _ := open(t, plugin.Spec{Type: "good", Directory: dir})
	program, away := filepath.Join(dir, "holdfast-storage-good"), filepath.Join(dir, "away")
	rename(t, program, away)
	send(t, pidOf(t, s, "pid"), syscall.SIGKILL)
	eventually(t, "failed restart", func() bool {
		err := s.Info().LastError
		return err != nil && strings.Contains(err.Error(), "does not exist")
	})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	err := s.Write(ctx, []storage.Op{storage.Put("a", nil)})
	if !errors.Is(err, storage.ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) || storage.OutcomeOf(err) != storage.Unapplied {
		t.Errorf("got %v (%v), want ErrUnavailable, not applied", err, storage.OutcomeOf(err))
	}
	checkOneLine(t, err, "storage plugin good", "does not exist")

	waiting := make(chan error, 1)
	var caller sync.WaitGroup
	patient := within(t, patience)
	caller.Go(func() { waiting <- s.Write(patient, []storage.Op{storage.Put("a", nil)}) })
	rename(t, away, program)
	if err := <-waiting; err != nil {
		t.Errorf("write that waited: %v", err)
	}
	caller.Wait()
}

// A plugin that comes back less capable, or does not do what it offers, is broken: its
// calls fail at once.
func TestBroken(t *testing.T) {
	for _, tt := range []struct {
		name   string
		args   func(t *testing.T) []string
		damage func(t *testing.T, s *plugin.Storage)
		want   string
	}{
		{
			name:   "less capable after a restart",
			args:   func(t *testing.T) []string { return []string{"less", filepath.Join(t.TempDir(), "ran")} },
			damage: func(t *testing.T, s *plugin.Storage) { send(t, pidOf(t, s, "pid"), syscall.SIGKILL) },
			want:   "another plugin than before: it started with HA false",
		},
		{
			name: "offers HA and does not have it",
			args: func(*testing.T) []string { return []string{"liar"} },
			damage: func(t *testing.T, s *plugin.Storage) {
				if _, err := s.Commit(within(t, patience), storage.Guard{Key: "g"}, nil); !errors.Is(err, storage.ErrUnsupported) {
					t.Errorf("got %v, want ErrUnsupported", err)
				}
			},
			want: "offers high availability and does not have it",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			socketDir := sockets(t)
			s, logger := open(t, plugin.Spec{Type: "good", Directory: directory(t, "good"), Args: tt.args(t)})
			tt.damage(t, s)
			eventually(t, "broken", func() bool { return strings.Contains(logger.String(), "storage plugin is broken") })
			_, err := s.Get(within(t, patience), "about/pid")
			if !errors.Is(err, storage.ErrUnavailable) || storage.OutcomeOf(err) != storage.Unapplied {
				t.Fatalf("got %v, want ErrUnavailable, not applied", err)
			}
			checkOneLine(t, err, "storage plugin good", "broken", tt.want)
			if err := s.Close(); err != nil {
				t.Error(err)
			}
			checkNothingLeft(t, socketDir)
		})
	}
}

// Whatever state the plugin is in, Close ends soon and leaves nothing.
func TestClose(t *testing.T) {
	for _, tt := range []struct {
		name   string
		mode   string
		signal syscall.Signal
	}{
		{"healthy", "good", 0},
		{"made with the sdk", "sdk", 0},
		{"frozen", "sdk", syscall.SIGSTOP},
		{"dead", "good", syscall.SIGKILL},
		{"with a descendant", "fork", 0},
		{"dead with a descendant", "fork", syscall.SIGKILL},
	} {
		t.Run(tt.name, func(t *testing.T) {
			before := goleak.IgnoreCurrent()
			socketDir := sockets(t)
			s, _ := open(t, plugin.Spec{Type: "good", Directory: directory(t, "good"), Args: []string{tt.mode}})
			pid := pidOf(t, s, "pid")
			child := about(t, s, "child")
			childPID := 0
			if child != "0" {
				childPID = pidOf(t, s, "child")
			}
			send(t, pid, tt.signal)
			began := time.Now()
			if err := s.Close(); err != nil && tt.signal == 0 {
				t.Error(err)
			}
			if took := time.Since(began); took > 8*time.Second {
				t.Errorf("took %v", took)
			}
			if runs(pid) {
				t.Errorf("plugin %d still runs", pid)
			}
			if childPID != 0 {
				eventually(t, "descendant gone", func() bool { return !runs(childPID) })
			}
			if _, err := s.Get(t.Context(), "a"); !errors.Is(err, storage.ErrUnavailable) || storage.OutcomeOf(err) != storage.Unapplied {
				t.Errorf("get after Close: %v, want ErrUnavailable, not applied", err)
			}
			checkNothingLeft(t, socketDir)
			goleak.VerifyNone(t, before)
		})
	}
}
