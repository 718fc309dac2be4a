// Command holdfast-storage-zookeeper is the storage plugin for ZooKeeper. Holdfast starts
// it; run by hand it explains itself.
package main

import (
	"github.com/holdfast/holdfast/plugins/zookeeper"
	"github.com/holdfast/holdfast/sdk"
)

func main() { sdk.Main(zookeeper.Plugin) }
