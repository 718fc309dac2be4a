// Command holdfast-storage-etcd is the storage plugin for etcd. Holdfast starts it;
// run by hand it explains itself.
package main

import (
	"github.com/holdfast/holdfast/plugins/etcd"
	"github.com/holdfast/holdfast/sdk"
)

func main() { sdk.Main(etcd.Plugin) }
