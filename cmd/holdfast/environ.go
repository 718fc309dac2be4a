package main

import (
	"os"
	"strings"
)

// takeEnvironment copies the environment of the process, removes VAULT_* from
// the original and returns a lookup in the copy.
//
// The client library reads VAULT_* on its own, at every new client, and refuses
// to work if one of them is bad. HOLDFAST_* must win over them, so the library
// must not see them; the commands honour them through the copy.
func takeEnvironment() func(string) string {
	taken := make(map[string]string)
	for _, entry := range os.Environ() {
		name, value, _ := strings.Cut(entry, "=")
		taken[name] = value
		if strings.HasPrefix(name, "VAULT_") {
			os.Unsetenv(name)
		}
	}
	return func(name string) string { return taken[name] }
}
