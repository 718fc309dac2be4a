package plugin_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hashicorp/go-hclog"

	"github.com/holdfast/holdfast/host/plugin"
	"github.com/holdfast/holdfast/sdk"
	"github.com/holdfast/holdfast/sdk/storage"
)

// authorPlugin is made with the sdk, by an author who makes mistakes: a write to one of the
// keys below makes the mistake.
var authorPlugin = sdk.Plugin[struct{}, *careless]{
	Name:    "good",
	Version: "1.2.3",
	Open: func(_ context.Context, _ struct{}, env sdk.Env) (*careless, storage.Capabilities, error) {
		return &careless{newMemory(servedPlugin{}, nil), env.Logger}, storage.Capabilities{Limits: limits}, nil
	},
}

type careless struct {
	*memory

	log hclog.Logger
}

// The mistakes.
const (
	panicInCall    = "panic/in/the/call"
	panicElsewhere = "panic/in/a/goroutine"
	logMuch        = "log/at/every/level"
)

func (c *careless) Write(ctx context.Context, ops []storage.Op) error {
	switch ops[0].Key {
	case panicInCall:
		panic("a map that is nil")
	case panicElsewhere:
		go panic("a map that is nil, elsewhere")
		<-ctx.Done()
		return ctx.Err()
	case logMuch:
		c.log.Trace("at trace", "n", 1)
		c.log.Debug("at debug", "n", 2)
		c.log.Info("at info", "n", 3)
		c.log.Warn("at warn", "n", 4)
		c.log.Error("at error", "n", 5)
		c.log.Info("a long line", "text", strings.Repeat("y", 100<<10))
	}
	return c.memory.Write(ctx, ops)
}

func put(key string) []storage.Op { return []storage.Op{storage.Put(key, nil)} }

// A panic in one call fails that call. The others go on in the same process, and the
// log has the stack.
func TestPanicInACall(t *testing.T) {
	s, logger := open(t, plugin.Spec{Type: "good", Directory: directory(t, "good"), Args: []string{"author"}})
	pid := s.Info().PID
	err := s.Write(within(t, patience), put(panicInCall))
	if !errors.Is(err, storage.ErrUnavailable) || storage.OutcomeOf(err) != storage.Unknown {
		t.Errorf("got %v (%v), want ErrUnavailable, outcome unknown", err, storage.OutcomeOf(err))
	}
	if err := s.Write(within(t, patience), put("a")); err != nil || s.Info().PID != pid {
		t.Errorf("another write: %v, in process %d, want process %d", err, s.Info().PID, pid)
	}
	for _, want := range []string{"[ERROR]", "a map that is nil", "trouble_test.go"} {
		eventually(t, want+" in the log", func() bool { return strings.Contains(logger.String(), want) })
	}
}

// A panic in a goroutine of the author's ends the process: calls go on in the next one, and
// both the log and the status say what happened.
func TestPanicEndsTheProcess(t *testing.T) {
	s, logger := open(t, plugin.Spec{Type: "good", Directory: directory(t, "good"), Args: []string{"author"}})
	err := s.Write(within(t, patience), put(panicElsewhere))
	if !errors.Is(err, storage.ErrUnavailable) || storage.OutcomeOf(err) != storage.Unknown {
		t.Errorf("got %v (%v), want ErrUnavailable, outcome unknown", err, storage.OutcomeOf(err))
	}
	if err := s.Write(within(t, patience), put("a")); err != nil {
		t.Errorf("a write to the next process: %v", err)
	}
	if err := s.Info().LastError; err == nil || !strings.Contains(err.Error(), "panic: a map that is nil, elsewhere") {
		t.Errorf("got last error %v, want the panic", err)
	}
	for _, want := range []string{"panic: a map that is nil, elsewhere", "goroutine ", "trouble_test.go"} {
		eventually(t, want+" in the log", func() bool { return strings.Contains(logger.String(), want) })
	}
}

// What an author logs arrives at the level it was logged at, however long it is.
func TestLevelsAreKept(t *testing.T) {
	s, logger := open(t, plugin.Spec{Type: "good", Directory: directory(t, "good"), Args: []string{"author"}})
	if err := s.Write(within(t, patience), put(logMuch)); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"[TRACE] plugin.good: at trace: n=1", "[DEBUG] plugin.good: at debug: n=2", "[INFO]  plugin.good: at info: n=3",
		"[WARN]  plugin.good: at warn: n=4", "[ERROR] plugin.good: at error: n=5",
		"[INFO]  plugin.good: a long line: text=" + strings.Repeat("y", 100<<10),
	} {
		eventually(t, want[:min(len(want), 60)]+" in the log", func() bool { return strings.Contains(logger.String(), want) })
	}
}

// What stands on stdout before the handshake is in the log, so that its author finds it.
func TestPrintBeforeServe(t *testing.T) {
	logger := newLog(t)
	s, err := plugin.Open(within(t, patience), plugin.Spec{
		Type: "good", Directory: directory(t, "good"), Args: []string{"glued"}, StartTimeout: 3 * time.Second,
	}, logger)
	if err == nil {
		t.Fatal("opened", s.Close())
	}
	checkOneLine(t, err, "no handshake in time", `it printed "loading ..." to stdout in front of the handshake, in the same line`)
	if want := `plugin printed to stdout: line="loading ...1|1|unix|`; !strings.Contains(logger.String(), want) {
		t.Errorf("no %q in the log", want)
	}
}

// A plugin that crashes whenever it is started is tried again less and less often, and the
// host stays up: calls wait until their context ends. When the cause is gone they succeed.
func TestCrashLoop(t *testing.T) {
	ran := filepath.Join(t.TempDir(), "ran")
	s, logger := open(t, plugin.Spec{Type: "good", Directory: directory(t, "good"), Args: []string{"once", ran}})
	send(t, s.Info().PID, unix.SIGKILL)
	next := regexp.MustCompile(`storage plugin not restarted: .*next=(\S+)`)
	var waits []string
	eventually(t, "four restarts that failed", func() bool {
		waits = nil
		for _, match := range next.FindAllStringSubmatch(logger.String(), -1) {
			waits = append(waits, match[1])
		}
		return len(waits) >= 4
	})
	if got, want := strings.Join(waits[:4], " "), "100ms 200ms 400ms 800ms"; got != want {
		t.Errorf("waits of %s between restarts, want %s", got, want)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	err := s.Write(ctx, put("a"))
	if !errors.Is(err, storage.ErrUnavailable) || storage.OutcomeOf(err) != storage.Unapplied {
		t.Errorf("got %v (%v), want ErrUnavailable, not applied", err, storage.OutcomeOf(err))
	}
	checkOneLine(t, err, "exit status 3", "no such cluster: atlantis")
	if err := os.Remove(ran); err != nil {
		t.Fatal(err)
	}
	if err := s.Write(within(t, patience), put("a")); err != nil {
		t.Errorf("after the cause was gone: %v", err)
	}
}

// A process that is stopped now and then, each time for less than the host's patience, stays.
func TestBriefStopsAreNoFreeze(t *testing.T) {
	s, _ := open(t, plugin.Spec{
		Type: "good", Directory: directory(t, "good"), Patience: plugin.Patience{Stopped: 2 * time.Second, Silent: time.Minute},
	})
	pid := s.Info().PID
	pause := func(d time.Duration) {
		ctx, cancel := context.WithTimeout(t.Context(), d)
		defer cancel()
		<-ctx.Done()
	}
	for began := time.Now(); time.Since(began) < 4*time.Second; {
		send(t, pid, unix.SIGSTOP)
		pause(100 * time.Millisecond)
		send(t, pid, unix.SIGCONT)
		pause(5 * time.Millisecond)
	}
	if err := s.Write(within(t, patience), put("a")); err != nil || s.Info().PID != pid || s.Info().Restarts != 0 {
		t.Errorf("write: %v, in process %d after %d restarts (%v), want process %d", err, s.Info().PID, s.Info().Restarts, s.Info().LastError, pid)
	}
}
