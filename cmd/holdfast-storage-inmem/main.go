// Command holdfast-storage-inmem is the storage plugin "inmem".
package main

import (
	"github.com/holdfast/holdfast/plugins/inmem"
	"github.com/holdfast/holdfast/sdk"
)

func main() { sdk.Main(inmem.New()) }
