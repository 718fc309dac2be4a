package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// openTerminal makes a terminal: what is written to keyboard can be read from
// screen, and what it echoes can be read from keyboard.
func openTerminal(t *testing.T) (keyboard, screen *os.File) {
	t.Helper()
	keyboard, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatalf("open a terminal: %v", err)
	}
	t.Cleanup(func() { keyboard.Close() })
	fd := int(keyboard.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatalf("unlock the terminal: %v", err)
	}
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatalf("find the terminal's number: %v", err)
	}
	screen, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatalf("open the terminal's other end: %v", err)
	}
	t.Cleanup(func() { screen.Close() })
	return keyboard, screen
}

func echoes(t *testing.T, terminal *os.File) bool {
	t.Helper()
	settings, err := unix.IoctlGetTermios(int(terminal.Fd()), getTermios)
	if err != nil {
		t.Fatal(err)
	}
	return settings.Lflag&unix.ECHO != 0
}

// typist types a line once it sees the prompt, and notes whether it is echoed.
type typist struct {
	keyboard, screen *os.File
	t                *testing.T
	echoed           bool
	shown            strings.Builder
}

func (p *typist) Write(b []byte) (int, error) {
	p.shown.Write(b)
	if strings.Contains(string(b), "prompt") {
		p.echoed = echoes(p.t, p.screen)
		if _, err := p.keyboard.WriteString("hunter2\n"); err != nil {
			return 0, err
		}
	}
	return len(b), nil
}

func TestAskSecretDoesNotEcho(t *testing.T) {
	keyboard, screen := openTerminal(t)
	p := &typist{keyboard: keyboard, screen: screen, t: t}
	got, err := askSecret(t.Context(), screen, p, "prompt: ")
	if err != nil || got != "hunter2" {
		t.Errorf("got %q, %v", got, err)
	}
	if p.echoed || strings.Contains(p.shown.String(), "hunter2") {
		t.Error("the secret was shown")
	}
	if !echoes(t, screen) {
		t.Error("echo is still off")
	}
}

func TestAskSecretIsInterrupted(t *testing.T) {
	_, screen := openTerminal(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := askSecret(ctx, screen, &strings.Builder{}, "prompt: ")
	if !errors.Is(err, context.Canceled) || !echoes(t, screen) {
		t.Errorf("got %v, echo %v: want context.Canceled and echo on", err, echoes(t, screen))
	}
}

func TestAskSecretWithoutTerminal(t *testing.T) {
	file, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, err := askSecret(t.Context(), file, &strings.Builder{}, ""); !errors.Is(err, errNotTerminal) {
		t.Errorf("got %v, want errNotTerminal", err)
	}
}

func TestReadOfPipeIsInterrupted(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close() // nothing is ever written
	ctx, cancel := context.WithTimeout(t.Context(), pollEvery)
	defer cancel()
	if _, err := readAll(ctx, r); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want context.DeadlineExceeded", err)
	}
}
