package process_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast/holdfast/test/process"
)

// counter prints a line all the time.
func counter(t *testing.T) (p *process.Process, output string) {
	t.Helper()
	output = filepath.Join(t.TempDir(), "output")
	p, err := process.Start(output, output, nil, "/bin/sh", "-c", "while :; do echo on; done")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Kill)
	return p, output
}

func lines(t *testing.T, output string) int {
	t.Helper()
	text, err := os.ReadFile(output)
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Count(text, []byte("\n"))
}

func TestPausedProcessStandsStill(t *testing.T) {
	p, output := counter(t)
	for range 10 {
		if err := p.Pause(); err != nil {
			t.Fatal(err)
		}
		before := lines(t, output)
		if after := lines(t, output); after != before {
			t.Errorf("a paused process wrote %d lines", after-before)
		}
		if err := p.Resume(); err != nil {
			t.Fatal(err)
		}
		for deadline := time.Now().Add(10 * time.Second); lines(t, output) == before; {
			if time.Now().After(deadline) {
				t.Fatal("a resumed process does not go on")
			}
		}
	}
}

func TestPauseSaysThatProcessHasEnded(t *testing.T) {
	p, _ := counter(t)
	p.Kill()
	if err := p.Pause(); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("Pause of an ended process: %v, want %v", err, syscall.ESRCH)
	}
}

func TestProcessTellsHowItEnded(t *testing.T) {
	output := filepath.Join(t.TempDir(), "output")
	p, err := process.Start(output, output, []string{"CODE=3"}, "/bin/sh", "-c", "exit $CODE")
	if err != nil {
		t.Fatal(err)
	}
	if got := p.ExitCode(); got != 3 {
		t.Errorf("exit code is %d, want 3", got)
	}
	if !p.Ended() || p.Err() == nil {
		t.Errorf("after exit 3: ended %v, error %v; want true and an error", p.Ended(), p.Err())
	}
}
