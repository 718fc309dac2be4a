package zookeeper

import "github.com/holdfast/holdfast/sdk"

// Plugin is what the program holdfast-storage-zookeeper serves.
var Plugin = sdk.Plugin[Config, *Backend]{
	Name:     "zookeeper",
	Version:  "0.1.0",
	Defaults: defaults(),
	Open:     open,
}
