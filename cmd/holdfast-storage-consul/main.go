// Command holdfast-storage-consul is the storage plugin for Consul. Holdfast starts
// it; run by hand it explains itself.
package main

import (
	"github.com/holdfast/holdfast/plugins/consul"
	"github.com/holdfast/holdfast/sdk"
)

func main() { sdk.Main(consul.Plugin) }
