package cli

import (
	"context"
	"flag"

	"github.com/hashicorp/vault/api"
)

// operatorUnseal gives a node one share of the key.
type operatorUnseal struct{ reset bool }

func (*operatorUnseal) describe() description {
	return description{
		usage:    "[flags] [KEY|-]",
		synopsis: "Give a sealed node one of the unseal keys",
		details: "Each node is unsealed on its own. Without KEY the terminal is asked; - reads standard\n" +
			"input. A KEY on the command line can be seen by other users of this machine.",
		example: "holdfast operator unseal\nholdfast operator unseal -reset",
		maxArgs: 1,
	}
}

func (c *operatorUnseal) declare(fs *flag.FlagSet) {
	fs.BoolVar(&c.reset, "reset", false, "forget the keys given so far")
}

func (c *operatorUnseal) run(ctx context.Context, s *session, args []string) error {
	client, err := s.anonymous()
	if err != nil {
		return err
	}
	if c.reset && len(args) > 0 {
		return usageError("give a key or -reset, not both")
	}
	seal, err := c.unseal(ctx, s, client, args)
	if err != nil {
		return err
	}
	if s.out.json() {
		return s.out.value(seal)
	}
	s.out.table([]string{"Key", "Value"}, sealRows(seal))
	return nil
}

func (c *operatorUnseal) unseal(ctx context.Context, s *session, client *api.Client, args []string) (*api.SealStatusResponse, error) {
	if c.reset {
		seal, err := client.Sys().ResetUnsealProcessWithContext(ctx)
		return seal, remote("reset unsealing", err)
	}
	key, err := s.secretArgument(ctx, args, "Unseal key (not shown): ")
	if err != nil {
		return nil, err
	}
	if key == "" {
		return nil, usageError("the unseal key is empty")
	}
	seal, err := client.Sys().UnsealWithContext(ctx, key)
	return seal, remote("unseal the node", err)
}
