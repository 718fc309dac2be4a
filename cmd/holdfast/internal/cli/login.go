package cli

import (
	"context"
	"flag"
	"fmt"
	"strings"

	"github.com/hashicorp/vault/api"
)

// login checks a token and keeps it for the commands that follow.
type login struct {
	method    string
	noStore   bool
	noPrint   bool
	tokenOnly bool
}

func (*login) describe() description {
	return description{
		usage:    "[flags] [TOKEN|-]",
		synopsis: "Check a token and keep it in ~/" + tokenFile,
		details: "Without TOKEN the terminal is asked; - reads standard input. A TOKEN on the command\n" +
			"line can be seen by other users of this machine. HOLDFAST_TOKEN wins over the file.",
		example: "holdfast login",
		maxArgs: 1,
	}
}

func (c *login) declare(fs *flag.FlagSet) {
	fs.StringVar(&c.method, "method", "token", "login `method`; token is the only one")
	fs.BoolVar(&c.noStore, "no-store", false, "do not keep the token")
	fs.BoolVar(&c.noPrint, "no-print", false, "print nothing")
	fs.BoolVar(&c.tokenOnly, "token-only", false, "print nothing but the token, and do not keep it")
}

func (c *login) run(ctx context.Context, s *session, args []string) error {
	if c.method != "token" {
		return usageError(fmt.Sprintf("login method %q is not supported; the method is token", c.method))
	}
	token, err := s.secretArgument(ctx, args, "Token (not shown): ")
	if err != nil {
		return err
	}
	token = strings.TrimPrefix(token, "token=")
	if token == "" {
		return usageError("the token is empty")
	}
	client, err := s.connection.open(token)
	if err != nil {
		return err
	}
	self, err := client.Auth().Token().LookupSelfWithContext(ctx)
	if err != nil {
		return remote("look up the token", err)
	}
	if c.tokenOnly {
		return s.out.field(map[string]any{"token": token}, "token")
	}
	if err := c.store(s, token); err != nil || c.noPrint {
		return err
	}
	return s.showLogin(self, token)
}

func (c *login) store(s *session, token string) error {
	if c.noStore {
		return nil
	}
	path, err := tokenPath(s.env.Getenv)
	if err != nil {
		return err
	}
	if err := writeToken(path, token); err != nil {
		return err
	}
	if _, variable := setting(s.env.Getenv, "TOKEN"); variable != "" {
		fmt.Fprintf(s.env.Stderr, "WARNING! %s is set and wins over the token just kept. Unset it to use this one.\n\n", variable)
	}
	return nil
}

// showLogin prints what the server knows of the token.
func (s *session) showLogin(self *api.Secret, token string) error {
	policies, err := self.TokenPolicies()
	if err != nil {
		return fmt.Errorf("read the token's policies: %w", err)
	}
	ttl, err := self.TokenTTL()
	if err != nil {
		return fmt.Errorf("read the token's time to live: %w", err)
	}
	renewable, err := self.TokenIsRenewable()
	if err != nil {
		return fmt.Errorf("read whether the token is renewable: %w", err)
	}
	accessor, err := self.TokenAccessor()
	if err != nil {
		return fmt.Errorf("read the token's accessor: %w", err)
	}
	if s.out.json() {
		return s.out.value(&api.Secret{Auth: &api.SecretAuth{
			ClientToken: token, Accessor: accessor, Policies: policies, TokenPolicies: policies,
			LeaseDuration: int(ttl.Seconds()), Renewable: renewable,
		}})
	}
	duration := ttl.String()
	if ttl == 0 {
		duration = "∞"
	}
	s.out.line("Success! You are now logged in.\n")
	s.out.table([]string{"Key", "Value"}, [][]string{
		{"token", token},
		{"token_accessor", display(accessor)},
		{"token_duration", duration},
		{"token_renewable", display(renewable)},
		{"token_policies", fmt.Sprintf("%q", policies)},
	})
	return nil
}
