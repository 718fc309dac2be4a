package harness

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	hostplugin "github.com/holdfast/holdfast/host/plugin"
)

// OpenPlugin starts a bundled plugin, by its storage type, and opens the store with these
// options. The plugin is never taken for dead because the machine is busy. It stops with the
// test, which fails if the race detector has found something in it.
func OpenPlugin(t testing.TB, name string, options map[string]any) (*hostplugin.Storage, error) {
	t.Helper()
	log, err := os.CreateTemp(t.ArtifactDir(), name+"-plugin-*.log")
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() {
		if err := log.Close(); err != nil {
			t.Error(err)
		}
		CheckRaces(t, "the plugin "+name, read(t, log.Name()))
	})
	store, err := hostplugin.Open(t.Context(), hostplugin.Spec{
		Type: name, Directory: filepath.Join(Binaries(t), "plugins"), Env: []string{quickExit}, Options: options,
		StartTimeout: time.Minute,
		Patience:     hostplugin.Patience{Stopped: time.Minute, Silent: time.Minute},
	}, hclog.New(&hclog.LoggerOptions{Output: log}))
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Errorf("close the store of the plugin %s: %v", name, err)
		}
	})
	return store, nil
}

// CheckRaces fails the test if the race detector reports something in the log of a program.
func CheckRaces(t testing.TB, program, log string) {
	t.Helper()
	if _, report, found := strings.Cut(log, "WARNING: DATA RACE"); found {
		t.Errorf("the race detector has found something in %s:%s", program, report[:min(len(report), mostReported)])
	}
}

// mostReported is how much of the log a failed test shows from the first race on, in bytes.
const mostReported = 16 << 10
