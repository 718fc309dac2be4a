package etcd

import (
	"context"

	"github.com/holdfast/holdfast/sdk"
	"github.com/holdfast/holdfast/sdk/storage"
)

// Plugin is what the program holdfast-storage-etcd serves.
var Plugin = sdk.Plugin[Config, *Backend]{
	Name:     "etcd",
	Version:  "0.1.0",
	Defaults: defaults(),
	Open: func(ctx context.Context, config Config, env sdk.Env) (*Backend, storage.Capabilities, error) {
		return open(ctx, config, env.Logger)
	},
}
