package plugin_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"

	"github.com/holdfast/holdfast/host/plugin"
	pb "github.com/holdfast/holdfast/sdk/proto/holdfast/storage/v1"
	"github.com/holdfast/holdfast/sdk/storage"
)

// sameEverywhere is a key whose item is the same in every process of the test plugin.
const sameEverywhere = "about/config"

// steady is spec for a plugin that is never taken for dead because the machine is busy.
func steady(spec plugin.Spec) plugin.Spec {
	spec.StartTimeout, spec.Patience.Silent = patience, time.Hour
	return spec
}

// load makes every kind of call, again and again, until stop is called, which fails the test
// if one of them failed, and returns how many there were.
func load(t *testing.T, s *plugin.Storage) (stop func() int) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var calls atomic.Int64
	var callers sync.WaitGroup
	for i := range 4 {
		for _, call := range []func(n int) error{
			func(int) error { _, err := s.Get(t.Context(), "about/pid"); return err },
			func(int) error { _, err := s.List(t.Context(), "about/", "", 0); return err },
			func(n int) error {
				return s.Write(t.Context(), []storage.Op{storage.Put(fmt.Sprintf("w%d/%d", i, n), []byte("x"))})
			},
			func(n int) error {
				_, err := s.Commit(t.Context(), storage.Guard{Key: fmt.Sprintf("c%d/%d", i, n), Value: []byte("x")}, nil)
				return err
			},
		} {
			callers.Go(func() {
				for n := 0; ctx.Err() == nil; n++ {
					if err := call(n); err != nil {
						t.Errorf("a call during a reload: %v", err)
					}
					calls.Add(1)
				}
			})
		}
	}
	watched := make(chan error, 1)
	callers.Go(func() {
		_, err := s.Watch(ctx, "nothing", "")
		watched <- err
	})
	return func() int {
		select {
		case err := <-watched:
			t.Errorf("a Watch ended by itself: %v", err)
		default:
		}
		cancel()
		callers.Wait()
		return int(calls.Load())
	}
}

// No call fails for a reload, not even one that is in flight.
func TestReload(t *testing.T) {
	before := goleak.IgnoreCurrent()
	socketDir := sockets(t)
	s, _ := open(t, steady(plugin.Spec{Type: "good", Directory: directory(t, "good"), Options: map[string]any{"path": "x/"}}))
	stop := load(t, s)
	for i := range 3 {
		old := s.Info().PID
		if err := s.Reload(within(t, patience), sameEverywhere); err != nil {
			t.Fatal(err)
		}
		info := s.Info()
		if info.Reloads != i+1 || info.Restarts != 0 || info.LastError != nil || info.LastReload.IsZero() {
			t.Errorf("got %+v, want %d reloads and nothing else", info, i+1)
		}
		if now := pidOf(t, s, "pid"); now == old || now != info.PID {
			t.Errorf("process %d answers after the reload of %d; got %+v", now, old, info)
		}
		if runs(old) {
			t.Errorf("process %d still runs", old)
		}
		if got, want := about(t, s, "config"), `{"path":"x/"}`; got != want {
			t.Errorf("plugin was configured with %s, want %s", got, want)
		}
	}
	t.Logf("%d calls during 3 reloads", stop())
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	checkNothingLeft(t, socketDir)
	goleak.VerifyNone(t, before)
}

// A program that can not take the place of the one that runs is refused, which goes on.
func TestReloadRefused(t *testing.T) {
	for _, tt := range []struct {
		name    string
		args    func(t *testing.T) []string
		witness string
		damage  func(t *testing.T, program string)
		want    string
	}{
		{
			name: "less capable",
			args: func(t *testing.T) []string { return []string{"less", filepath.Join(t.TempDir(), "ran")} },
			want: "it started with HA false",
		},
		{
			name: "crashes",
			args: func(t *testing.T) []string { return []string{"once", filepath.Join(t.TempDir(), "ran")} },
			want: "no such cluster: atlantis",
		},
		{
			name:   "gone",
			damage: func(t *testing.T, program string) { rename(t, program, program+".away") },
			want:   "does not exist",
		},
		{
			name: "others may write it", damage: func(t *testing.T, program string) { chmod(t, filepath.Dir(program), 0o777) },
			want: "is writable by",
		},
		{name: "data in its process", witness: "data", want: "the new process does not find data"},
		{name: "other data", witness: "about/pid", want: "another value at about/pid"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			socketDir := sockets(t)
			dir := directory(t, "good")
			spec := steady(plugin.Spec{Type: "good", Directory: dir})
			if tt.args != nil {
				spec.Args = tt.args(t)
			}
			s, _ := open(t, spec)
			pid := pidOf(t, s, "pid")
			if err := s.Write(within(t, patience), []storage.Op{storage.Put("data", []byte("x"))}); err != nil {
				t.Fatal(err)
			}
			if tt.damage != nil {
				tt.damage(t, filepath.Join(dir, "holdfast-storage-good"))
			}
			stop := load(t, s)
			err := s.Reload(within(t, patience), tt.witness)
			stop()
			if !errors.Is(err, plugin.ErrNotReloaded) {
				t.Fatalf("got %v, want ErrNotReloaded", err)
			}
			checkOneLine(t, err, tt.want)
			if now := pidOf(t, s, "pid"); now != pid || s.Info().Reloads != 0 || s.Info().Restarts != 0 {
				t.Errorf("process %d answers, want %d; %+v", now, pid, s.Info())
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
			checkNothingLeft(t, socketDir)
		})
	}
}

// A reload brings a plugin back that is down, without waiting for its next turn.
func TestReloadWhileDown(t *testing.T) {
	socketDir := sockets(t)
	dir := directory(t, "good")
	s, _ := open(t, steady(plugin.Spec{Type: "good", Directory: dir}))
	program, away := filepath.Join(dir, "holdfast-storage-good"), filepath.Join(dir, "away")
	rename(t, program, away)
	send(t, pidOf(t, s, "pid"), syscall.SIGKILL)
	eventually(t, "failed restart", func() bool {
		err := s.Info().LastError
		return err != nil && strings.Contains(err.Error(), "does not exist")
	})
	if err := s.Reload(within(t, patience), sameEverywhere); !errors.Is(err, plugin.ErrNotReloaded) {
		t.Errorf("got %v, want ErrNotReloaded", err)
	}
	rename(t, away, program)
	if err := s.Reload(within(t, patience), sameEverywhere); err != nil {
		t.Errorf("reload: %v", err)
	}
	if info := s.Info(); pidOf(t, s, "pid") != info.PID || info.Reloads != 1 {
		t.Errorf("got %+v", info)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	checkNothingLeft(t, socketDir)
}

// Of several reloads at a time one is made, and the others say that they were not.
func TestReloadTwiceAtOnce(t *testing.T) {
	socketDir := sockets(t)
	s, _ := open(t, steady(plugin.Spec{Type: "good", Directory: directory(t, "good")}))
	stop := load(t, s)
	results := make(chan error, 4)
	for range cap(results) {
		go func() { results <- s.Reload(within(t, patience), sameEverywhere) }()
	}
	reloads := 0
	for range cap(results) {
		switch err := <-results; {
		case err == nil:
			reloads++
		case !errors.Is(err, plugin.ErrReloading):
			t.Errorf("got %v, want ErrReloading", err)
		}
	}
	stop()
	if got := s.Info().Reloads; got != reloads || reloads == 0 {
		t.Errorf("%d reloads succeeded, and %d were made; want the same, and one at least", reloads, got)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	checkNothingLeft(t, socketDir)
}

// Close ends a reload under way, and leaves nothing of either process.
func TestCloseDuringReload(t *testing.T) {
	for _, wait := range []time.Duration{0, 5 * time.Millisecond, 50 * time.Millisecond} {
		t.Run(wait.String(), func(t *testing.T) {
			before := goleak.IgnoreCurrent()
			socketDir := sockets(t)
			s, _ := open(t, steady(plugin.Spec{Type: "good", Directory: directory(t, "good")}))
			ctx := within(t, patience)
			reloaded := make(chan error, 1)
			go func() { reloaded <- s.Reload(ctx, sameEverywhere) }()
			<-time.After(wait)
			if err := s.Close(); err != nil {
				t.Error(err)
			}
			if err := <-reloaded; err != nil && !errors.Is(err, plugin.ErrNotReloaded) {
				t.Errorf("got %v, want nil or ErrNotReloaded", err)
			}
			if err := s.Reload(ctx, ""); !errors.Is(err, plugin.ErrNotReloaded) {
				t.Errorf("reload after Close: %v, want ErrNotReloaded", err)
			}
			checkNothingLeft(t, socketDir)
			goleak.VerifyNone(t, before)
		})
	}
}

// The process that was replaced keeps the last will until the new one has it.
func TestReloadMovesTheLastWill(t *testing.T) {
	s, _ := open(t, steady(plugin.Spec{Type: "good", Directory: directory(t, "good"), Args: []string{"will"}}))
	h := &holder{t: t, s: s}
	s.SetLastWill("record", []byte("x"))
	h.commit()
	h.wantCalls("commit 1, arm x")
	old := s.Info().PID
	ctx := within(t, patience)
	reloaded := make(chan error, 1)
	go func() { reloaded <- s.Reload(ctx, sameEverywhere) }()
	eventually(t, "the new process takes the calls", func() bool { return s.Info().Reloads == 1 })
	h.wantCalls("")
	if !runs(old) {
		t.Error("the old process has ended, and the new one has no will")
	}
	h.version = "" // the record was in the process
	h.commit()
	if err := <-reloaded; err != nil {
		t.Error(err)
	}
	h.wantCalls("commit 2, arm x")
	if runs(old) {
		t.Error("the old process still runs")
	}
	s.SetLastWill("record", nil)
	h.commit()
	h.wantCalls("commit 2, arm x, disarm, commit 3")
}

// A will that was taken back keeps nothing alive, though the plugin has not been told yet.
func TestReloadWithoutATenure(t *testing.T) {
	s, _ := open(t, steady(plugin.Spec{Type: "good", Directory: directory(t, "good"), Args: []string{"will"}}))
	h := &holder{t: t, s: s}
	s.SetLastWill("record", []byte("x"))
	h.commit()
	s.SetLastWill("record", nil)
	old := s.Info().PID
	began := time.Now()
	if err := s.Reload(within(t, patience), sameEverywhere); err != nil {
		t.Error(err)
	}
	t.Logf("took %v", time.Since(began))
	if runs(old) {
		t.Error("the old process still runs")
	}
}

// A host that is attached configures anew, in the process that somebody else runs.
func TestReloadAttached(t *testing.T) {
	path := filepath.Join(sockets(t), "attached")
	var configured, closed atomic.Int32
	stop := serveAt(t, path, servedPlugin{name: "good", ha: true, limits: limits}, grpc.UnaryInterceptor(
		func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
			switch req.(type) {
			case *pb.ConfigureRequest:
				configured.Add(1)
			case *pb.CloseRequest:
				closed.Add(1)
			}
			return handle(ctx, req)
		}))
	defer stop()
	s, _ := open(t, steady(plugin.Spec{Type: "good", Attach: "unix://" + path}))
	stopLoad := load(t, s)
	if err := s.Reload(within(t, patience), sameEverywhere); err != nil {
		t.Error(err)
	}
	stopLoad()
	if configured.Load() != 2 || closed.Load() != 1 || s.Info().Reloads != 1 || s.Info().SHA256 != "" {
		t.Errorf("configured %d times, closed %d times; %+v", configured.Load(), closed.Load(), s.Info())
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// The checksum is of the program that runs, also when another one has its name.
func TestChecksumOfWhatRuns(t *testing.T) {
	dir := directory(t, "good")
	program := filepath.Join(dir, "holdfast-storage-good")
	text, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf("%x", sha256.Sum256(text))
	s, _ := open(t, steady(plugin.Spec{Type: "good", Directory: dir}))
	rename(t, program, filepath.Join(dir, "old"))
	if err := os.WriteFile(program, append(text, "another"...), 0o755); err != nil {
		t.Fatal(err)
	}
	eventually(t, "checksum", func() bool { return s.Info().SHA256 != "" })
	if got := s.Info().SHA256; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if err := s.Reload(within(t, patience), sameEverywhere); err != nil {
		t.Fatal(err)
	}
	eventually(t, "another checksum", func() bool { sum := s.Info().SHA256; return sum != "" && sum != want })

	script := filepath.Join(dir, "wrapper")
	lines := "#!/bin/sh\nexec " + strconv.Quote(program) + "\n"
	if err := os.WriteFile(script, []byte(lines), 0o755); err != nil {
		t.Fatal(err)
	}
	wrapped, _ := open(t, steady(plugin.Spec{Type: "good", Directory: dir, Command: "wrapper"}))
	eventually(t, "checksum of the script", func() bool { return wrapped.Info().SHA256 != "" })
	if got, want := wrapped.Info().SHA256, fmt.Sprintf("%x", sha256.Sum256([]byte(lines))); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
