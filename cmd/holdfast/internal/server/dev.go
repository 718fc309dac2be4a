package server

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/holdfast/holdfast/host/api"
)

// devMount is what the development server mounts at secret/.
var devMount = struct {
	Type        string            `json:"type"`
	Description string            `json:"description"`
	Options     map[string]string `json:"options"`
}{"kv", "key/value secret storage", map[string]string{"version": "2"}}

// startDev makes a development server usable: initialised, unsealed, with a mount.
func (s *server) startDev(ctx context.Context) error {
	if !s.options.dev || s.options.devAttach != "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	keys, err := s.node.Init(ctx, api.InitRequest{Shares: 1, Threshold: 1})
	if err != nil {
		return err
	}
	if err := s.node.Unseal(ctx, keys.Shares[0]); err != nil {
		return err
	}
	body, err := json.Marshal(devMount)
	if err != nil {
		return err
	}
	resp := s.node.Route(ctx, &api.Request{Method: http.MethodPost, Path: "sys/mounts/secret", Token: keys.RootToken, Body: body})
	if resp.Status != http.StatusNoContent {
		return fmt.Errorf("mount secret/: status %d: %s", resp.Status, resp.Body)
	}
	printDev(s.env.Stdout, s.addresses.api.URL, keys)
	return nil
}

func printDev(out io.Writer, address string, keys api.InitResult) {
	fmt.Fprintf(out, `
WARNING! This is a development server: it keeps everything in memory, has no TLS, and
is unsealed. Do not use it for real secrets.

In another terminal:

    $ export HOLDFAST_ADDR='%s'
    $ export HOLDFAST_TOKEN='%s'

Unseal Key: %x
Root Token: %s

Development mode is ready.
`, address, keys.RootToken, keys.Shares[0], keys.RootToken)
}

// parentGone returns a channel that is closed when standard input ends, for a server
// that the parent of a development cluster started: it must not outlive it.
func (s *server) parentGone(ctx context.Context) <-chan struct{} {
	gone := make(chan struct{})
	if s.options.devAttach == "" {
		return nil
	}
	go func() { // ends with the process at the latest: reading can not be interrupted
		_, _ = io.Copy(io.Discard, s.env.Stdin)
		if ctx.Err() == nil {
			close(gone)
		}
	}()
	return gone
}
