//go:build faultclock

package clock

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestWrongClock(t *testing.T) {
	c := &wrongClock{path: filepath.Join(t.TempDir(), "clock"), rate: 1}
	say := func(text string) {
		if err := os.WriteFile(c.path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const start = Instant(time.Hour)
	for _, step := range []struct {
		file      string
		now, want time.Duration // since start
	}{
		{"1 0s", 0, 0},
		{"1 0s", 10 * time.Second, 10 * time.Second},
		{"1.5 0s", 20 * time.Second, 20 * time.Second}, // the rate holds from now on
		{"1.5 0s", 22 * time.Second, 23 * time.Second},
		{"0.5 0s", 24 * time.Second, 26 * time.Second},
		{"0.5 1h", 26 * time.Second, 27*time.Second + time.Hour},
		{"1 1h", 28 * time.Second, 28*time.Second + time.Hour},
	} {
		say(step.file)
		if got := c.show(start.Add(step.now)).Sub(start); got != step.want {
			t.Errorf("after %v with %q the clock shows %v, want %v", step.now, step.file, got, step.want)
		}
	}
}
