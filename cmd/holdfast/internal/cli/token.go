package cli

import (
	"context"
	"flag"

	"github.com/hashicorp/vault/api"
)

// tokenLookup shows what the server knows of a token.
type tokenLookup struct {
	accessor bool
	field    string
}

func (*tokenLookup) describe() description {
	return description{
		usage:    "[flags] [TOKEN|-]",
		synopsis: "Show a token's policies and times, your own by default",
		example:  "holdfast token lookup",
		maxArgs:  1,
	}
}

func (c *tokenLookup) declare(fs *flag.FlagSet) {
	fs.BoolVar(&c.accessor, "accessor", false, "the argument is an accessor, not a token")
	fs.StringVar(&c.field, "field", "", "print only the field of this `name`")
}

func (c *tokenLookup) run(ctx context.Context, s *session, args []string) error {
	if c.accessor && len(args) == 0 {
		return usageError("-accessor needs the accessor as its argument")
	}
	client, err := s.client()
	if err != nil {
		return err
	}
	found, err := c.lookup(ctx, s, client, args)
	if err != nil {
		return err
	}
	return s.showSecret(found, "the token", c.field)
}

func (c *tokenLookup) lookup(ctx context.Context, s *session, client *api.Client, args []string) (*api.Secret, error) {
	tokens := client.Auth().Token()
	if len(args) == 0 {
		found, err := tokens.LookupSelfWithContext(ctx)
		return found, remote("look up your token", err)
	}
	name, err := s.secretArgument(ctx, args, "")
	if err != nil {
		return nil, err
	}
	if c.accessor {
		found, err := tokens.LookupAccessorWithContext(ctx, name)
		return found, remote("look up the accessor", err)
	}
	found, err := tokens.LookupWithContext(ctx, name)
	return found, remote("look up the token", err)
}
