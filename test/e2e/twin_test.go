package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/holdfast/holdfast/test/harness"
	"github.com/holdfast/holdfast/test/servers"
)

// TestSameConfigurationTwice starts a second server with the configuration of one that runs. On the
// same machine its port is taken. On another one, with another address to listen on, it would
// advertise the address of the first: it is told so and ends. The first one is left in peace.
func TestSameConfigurationTwice(t *testing.T) {
	s := servers.Etcd(t)
	c := harness.NewCluster(t, 1, etcdStanza(s)+steady)
	c.Mount("kv", "1")
	first := c.Active()
	epoch := epochOf(t, first)

	t.Run("on the same machine", func(t *testing.T) {
		second := startDaemon(t, nil, holdfast(t), "server", "-config="+first.ConfigPath)
		second.awaitExit(1)
		if log := second.stderr(); !strings.Contains(log, first.Address) || !strings.Contains(log, "address already in use") {
			t.Errorf("standard error does not say that %s is taken:\n%s", first.Address, log)
		}
	})
	t.Run("on another machine", func(t *testing.T) {
		text, err := os.ReadFile(first.ConfigPath)
		if err != nil {
			t.Fatal(err)
		}
		elsewhere := harness.NewNode(t, "elsewhere", etcdStanza(s)+steady) // for its ports only
		own, err := os.ReadFile(elsewhere.ConfigPath)
		if err != nil {
			t.Fatal(err)
		}
		elsewhere.Stop()
		copied := replaceLine(string(own), "cluster_addr ", lineOf(t, string(text), "cluster_addr "))
		path := filepath.Join(t.TempDir(), "copy.hcl")
		writeFile(t, path, copied+"\napi_addr = \"http://"+first.Address+"\"\n")
		second := startDaemon(t, nil, holdfast(t), "server", "-config="+path)
		second.awaitOutput("Holdfast server started")
		harness.Eventually(t, "the copy takes the key", func() error {
			_, err := elsewhere.Client("").Sys().Unseal(c.UnsealKey)
			if err != nil && second.Ended() {
				return nil // before it could answer
			}
			return err
		})
		second.awaitExit(1)
		if log := second.stderr(); !strings.Contains(log, "two nodes must not share a configuration") {
			t.Errorf("standard error does not name the mistake:\n%s", log)
		}
	})
	if c.Active() != first || epochOf(t, first) != epoch {
		t.Error("the first one lost its place")
	}
}

// lineOf returns the line of a configuration that begins with key.
func lineOf(t *testing.T, text, key string) string {
	t.Helper()
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, key) {
			return line
		}
	}
	t.Fatalf("there is no %q in\n%s", key, text)
	return ""
}

// replaceLine puts with in the place of the line that begins with key.
func replaceLine(text, key, with string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, key) {
			line = with
		}
		b.WriteString(line)
	}
	return b.String()
}
