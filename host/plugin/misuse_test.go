package plugin_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast/holdfast/host/plugin"
	"github.com/holdfast/holdfast/sdk/storage"
	"github.com/holdfast/holdfast/sdk/wire"
)

// A script that starts other processes and never serves is given up in time, with all of them.
func TestScriptThatForks(t *testing.T) {
	socketDir := sockets(t)
	dir, pids := directory(t), filepath.Join(t.TempDir(), "pids")
	spec := plugin.Spec{Directory: dir, StartTimeout: 5 * time.Second}
	script(t, dir, &spec, "#!/bin/sh\nsleep 1000 &\necho $! $$ >'"+pids+"'\necho three of us >&2\nsleep 1000\n", 0o755)
	s, err := plugin.Open(within(t, patience), spec, newLog(t))
	if err == nil {
		t.Fatal("opened", s.Close())
	}
	checkOneLine(t, err, "no handshake in time", "three of us")
	text, err := os.ReadFile(pids)
	if err != nil {
		t.Fatal(err)
	}
	for field := range strings.FieldsSeq(string(text)) {
		pid, err := strconv.Atoi(field)
		if err != nil {
			t.Fatal(err)
		}
		eventually(t, fmt.Sprintf("process %d gone", pid), func() bool { return !runs(pid) })
	}
	checkNothingLeft(t, socketDir)
}

// A plugin that is killed every second is started every time; between two deaths calls
// succeed, and one that is cut off says that its outcome is unknown.
func TestKilledEverySecond(t *testing.T) {
	const deaths = 4
	socketDir := sockets(t)
	s, logger := open(t, plugin.Spec{Type: "good", Directory: directory(t, "good"), StartTimeout: patience, Patience: plugin.Patience{Silent: time.Minute}})
	served := 0
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for range deaths {
		pid := pidOf(t, s, "pid")
		for began := time.Now(); time.Since(began) < time.Second; served++ {
			<-ticker.C
			if err := s.Write(within(t, patience), put("a")); err != nil {
				t.Fatalf("a write between two deaths: %v", err)
			}
		}
		inFlight := watch(t, s)
		send(t, pid, syscall.SIGKILL)
		if err := <-inFlight; !errors.Is(err, storage.ErrUnavailable) {
			t.Errorf("call in flight: got %v, want ErrUnavailable", err)
		}
	}
	pidOf(t, s, "pid") // it is back
	if got := s.Info().Restarts; got != deaths {
		t.Errorf("%d restarts, want %d", got, deaths)
	}
	checkOneLine(t, s.Info().LastError, "plugin gone", "signal: killed")
	if got := strings.Count(logger.String(), "storage plugin lost; restarting"); got != deaths {
		t.Errorf("the log tells of %d losses, want %d", got, deaths)
	}
	t.Logf("%d writes", served)
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	checkNothingLeft(t, socketDir)
}

// What is larger than any plugin may hold is refused, with the sizes, and the next call works.
func TestValueOverTheLimits(t *testing.T) {
	s, _ := open(t, plugin.Spec{Type: "good", Directory: directory(t, "good"), StartTimeout: patience})
	pid := s.Info().PID
	get := func(size int) (storage.Item, error) {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		return s.Get(ctx, fmt.Sprintf("value/of/size/%d", size))
	}
	most := wire.MaxLimits().MaxValueBytes
	for size, want := range map[int]string{
		most + 1:                 fmt.Sprintf("it returned a value of %d bytes, no plugin may hold more than %d", most+1, most),
		wire.MaxMessageBytes + 1: fmt.Sprint(wire.MaxMessageBytes),
	} {
		_, err := get(size)
		if err == nil {
			t.Errorf("a value of %d bytes was taken", size)
			continue
		}
		checkOneLine(t, err, "storage plugin good", "get", want)
	}
	// Limits that were lowered do not make what is there unreadable.
	if item, err := get(most); err != nil || len(item.Value) != most {
		t.Errorf("got %d bytes, %v, want %d", len(item.Value), err, most)
	}
	if s.Info().PID != pid {
		t.Errorf("process %d instead of %d: %v", s.Info().PID, pid, s.Info().LastError)
	}
}
