package cli

import (
	"context"
	"flag"
	"fmt"

	"github.com/hashicorp/vault/api"
)

// operatorInit creates the keys of a new cluster.
type operatorInit struct {
	shares, threshold int
	status            bool
}

func (*operatorInit) describe() description {
	return description{
		usage:    "[flags]",
		synopsis: "Initialise a new cluster and print its unseal keys, once",
		details: "With -status nothing is initialised, and the exit code tells:\n" +
			"0 initialised, 2 not initialised, 1 error.",
		example: "holdfast operator init -key-shares=5 -key-threshold=3",
	}
}

func (c *operatorInit) declare(fs *flag.FlagSet) {
	for _, name := range []string{"key-shares", "n"} {
		fs.IntVar(&c.shares, name, 5, "`number` of key shares to make")
	}
	for _, name := range []string{"key-threshold", "t"} {
		fs.IntVar(&c.threshold, name, 3, "`number` of key shares needed to unseal")
	}
	fs.BoolVar(&c.status, "status", false, "only tell whether the cluster is initialised")
}

func (c *operatorInit) run(ctx context.Context, s *session, _ []string) error {
	client, err := s.anonymous()
	if err != nil {
		return err
	}
	if c.status {
		return showInitialized(ctx, s, client)
	}
	if c.threshold < 1 || c.shares < c.threshold {
		return usageError(fmt.Sprintf("cannot split a key into %d shares with a threshold of %d", c.shares, c.threshold))
	}
	keys, err := client.Sys().InitWithContext(ctx, &api.InitRequest{SecretShares: c.shares, SecretThreshold: c.threshold})
	if err != nil {
		return remote("initialise the cluster", err)
	}
	if s.out.json() {
		return s.out.value(initReport(keys, c.shares, c.threshold))
	}
	for i, key := range keys.KeysB64 {
		s.out.line(fmt.Sprintf("Unseal Key %d: %s", i+1, key))
	}
	s.out.line("\nInitial Root Token: " + keys.RootToken)
	s.out.line(fmt.Sprintf("\nKeep these keys apart from each other, and safe: they are not shown again.\n"+
		"Unsealing a node takes %d of the %d. With fewer left, all data is lost.", c.threshold, c.shares))
	return nil
}

func showInitialized(ctx context.Context, s *session, client *api.Client) error {
	initialized, err := client.Sys().InitStatusWithContext(ctx)
	if err != nil {
		return statusError("read whether the cluster is initialised", err)
	}
	if s.out.json() {
		if err := s.out.value(map[string]bool{"initialized": initialized}); err != nil {
			return err
		}
	}
	if !initialized {
		s.out.say("The cluster is not initialised")
		return exitError{code: 2}
	}
	s.out.say("The cluster is initialised")
	return nil
}

// initReport is the JSON that scripts written for Vault read the keys from.
func initReport(keys *api.InitResponse, shares, threshold int) any {
	return struct {
		KeysB64           []string `json:"unseal_keys_b64"`
		KeysHex           []string `json:"unseal_keys_hex"`
		Shares            int      `json:"unseal_shares"`
		Threshold         int      `json:"unseal_threshold"`
		RecoveryKeysB64   []string `json:"recovery_keys_b64"`
		RecoveryKeysHex   []string `json:"recovery_keys_hex"`
		RecoveryShares    int      `json:"recovery_keys_shares"`
		RecoveryThreshold int      `json:"recovery_keys_threshold"`
		RootToken         string   `json:"root_token"`
	}{
		KeysB64: keys.KeysB64, KeysHex: keys.Keys, Shares: shares, Threshold: threshold,
		RecoveryKeysB64: []string{}, RecoveryKeysHex: []string{}, RootToken: keys.RootToken,
	}
}
