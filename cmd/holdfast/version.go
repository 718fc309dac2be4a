package main

import "runtime/debug"

// buildVersion is the version of this program as the Go toolchain recorded it:
// the tag it was built at, or a pseudo-version that names the commit. It is
// "dev" in a build without that record.
func buildVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" || info.Main.Version == "(devel)" {
		return "dev"
	}
	return info.Main.Version
}
