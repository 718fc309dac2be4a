package cli

import (
	"context"
	"errors"
	"io/fs"
	"strings"

	"github.com/hashicorp/vault/api"
)

// session is one run of one command: where it reads and prints, and how it
// reaches the server.
type session struct {
	env        Env
	connection connection
	out        *printer
}

func newSession(env Env) *session {
	s := &session{env: env}
	s.out = &printer{w: env.Stdout, format: &s.connection.format}
	return s
}

// anonymous is a client without a token, for what the server tells everybody.
func (s *session) anonymous() (*api.Client, error) { return s.connection.open("") }

// client is a client with the user's token: from the environment, else from the
// file that login wrote. Without either it sends none, and the server refuses.
func (s *session) client() (*api.Client, error) {
	token, err := s.token()
	if err != nil {
		return nil, err
	}
	return s.connection.open(token)
}

func (s *session) token() (string, error) {
	if token, _ := setting(s.env.Getenv, "TOKEN"); token != "" {
		return strings.TrimSpace(token), nil
	}
	path, err := tokenPath(s.env.Getenv)
	if err != nil {
		return "", err
	}
	token, err := readToken(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	return token, err
}

// secretArgument returns the secret that a command takes as its only argument.
// "-" means standard input. Without an argument a terminal is asked, showing
// prompt and not what is typed.
func (s *session) secretArgument(ctx context.Context, args []string, prompt string) (string, error) {
	switch {
	case len(args) > 0 && args[0] != "-":
		return strings.TrimSpace(args[0]), nil
	case len(args) > 0:
		raw, err := readAll(ctx, s.env.Stdin)
		return strings.TrimSpace(string(raw)), err
	}
	line, err := askSecret(ctx, s.env.Stdin, s.env.Stderr, prompt)
	if errors.Is(err, errNotTerminal) {
		return "", usageError("standard input is not a terminal: give the secret there and - as the argument")
	}
	return strings.TrimSpace(line), err
}
