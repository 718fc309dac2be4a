package plugin_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"

	"github.com/holdfast/holdfast/host/plugin"
	pb "github.com/holdfast/holdfast/sdk/proto/holdfast/storage/v1"
	"github.com/holdfast/holdfast/sdk/storage"
)

// journal is what a test plugin was asked to do, of what matters for wills. The key
// about/journal shows it.
type journal struct {
	stuck bool // a Disarm is not answered

	mu    sync.Mutex
	calls []string // guarded by mu
}

func (j *journal) intercept(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
	var call string
	switch r := req.(type) {
	case *pb.CommitRequest:
		call = "commit " + string(r.GetGuard().GetValue())
	case *pb.ArmRequest:
		call = "arm " + string(r.GetValue())
	case *pb.DisarmRequest:
		call = "disarm"
		if j.stuck {
			<-ctx.Done()
			return nil, ctx.Err()
		}
	default:
		return handle(ctx, req)
	}
	j.mu.Lock()
	j.calls = append(j.calls, call)
	j.mu.Unlock()
	return handle(ctx, req)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return strings.Join(j.calls, ", ")
}

// holder commits to one record, as the driver of the term record does.
type holder struct {
	t       *testing.T
	s       *plugin.Storage
	version storage.Version
	count   int
}

func (h *holder) commit() {
	h.t.Helper()
	h.count++
	version, err := h.s.Commit(within(h.t, patience), storage.Guard{Key: "record", Version: h.version, Value: fmt.Append(nil, h.count)}, nil)
	if err != nil {
		h.t.Fatalf("commit %d: %v", h.count, err)
	}
	h.version = version
}

func (h *holder) wantCalls(want string) {
	h.t.Helper()
	if got := about(h.t, h.s, "journal"); got != want {
		h.t.Errorf("the plugin was asked to\n\t%s\nwant\n\t%s", got, want)
	}
}

// The plugin has the will that was set last after each Commit, and none but that before one.
func TestLastWillIsLeftWithThePlugin(t *testing.T) {
	s, _ := open(t, plugin.Spec{Type: "good", Directory: directory(t, "good"), Args: []string{"will"}})
	if !s.Info().LastWill {
		t.Fatal("the plugin takes no will")
	}
	h := &holder{t: t, s: s}
	h.commit()
	s.SetLastWill("record", []byte("x"))
	h.commit()
	h.commit()
	h.wantCalls("commit 1, commit 2, arm x, commit 3")
	s.SetLastWill("record", nil)
	h.commit()
	h.commit()
	s.SetLastWill("record", []byte("y"))
	h.commit()
	s.SetLastWill("record", []byte("z"))
	h.commit()
	h.wantCalls("commit 1, commit 2, arm x, commit 3, disarm, commit 4, commit 5, commit 6, arm y, disarm, commit 7, arm z")

	pid := s.Info().PID
	send(t, pid, syscall.SIGKILL)
	eventually(t, "another process runs", func() bool { now := s.Info().PID; return now != 0 && now != pid })
	h.version = "" // it was in the process
	h.commit()
	h.commit()
	h.wantCalls("commit 8, arm z, commit 9")
	if !s.Info().LastWill {
		t.Error("the plugin that was restarted takes no will")
	}
}

func TestPluginThatTakesNoWill(t *testing.T) {
	s, log := open(t, plugin.Spec{Type: "good", Directory: directory(t, "good"), Args: []string{"no-will"}})
	h := &holder{t: t, s: s}
	s.SetLastWill("record", []byte("x"))
	h.commit()
	h.commit()
	s.SetLastWill("record", nil)
	h.commit()
	h.wantCalls("commit 1, arm x, commit 2, commit 3")
	if s.Info().LastWill || strings.Count(log.String(), "last will not left") != 1 {
		t.Errorf("LastWill is %t, want false and one line of log", s.Info().LastWill)
	}
}

// Where a will may be left that the next Commit is not to be followed by, that Commit is not made.
func TestCommitWaitsForTheWillBeforeIt(t *testing.T) {
	s, _ := open(t, plugin.Spec{Type: "good", Directory: directory(t, "good"), Args: []string{"stuck-will"}})
	h := &holder{t: t, s: s}
	s.SetLastWill("record", []byte("x"))
	h.commit()
	s.SetLastWill("record", nil)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err := s.Commit(ctx, storage.Guard{Key: "record", Version: h.version, Value: []byte("2")}, nil)
	if !errors.Is(err, storage.ErrUnavailable) || storage.OutcomeOf(err) != storage.Unapplied {
		t.Errorf("commit: %v (%v), want ErrUnavailable, not applied", err, storage.OutcomeOf(err))
	}
	h.wantCalls("commit 1, arm x")
}
