package servers

import (
	"net"
	"os"
	"path/filepath"
	"testing"
)

func readConfig(t *testing.T, s *ConsulServer) string {
	t.Helper()
	config, err := os.ReadFile(filepath.Join(s.configDir(), "0.hcl"))
	if err != nil {
		t.Fatal(err)
	}
	return string(config)
}

func writeConfig(t *testing.T, s *ConsulServer, config string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(s.configDir(), "0.hcl"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
}

func port(t *testing.T, address string) string {
	t.Helper()
	_, p, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	return p
}
