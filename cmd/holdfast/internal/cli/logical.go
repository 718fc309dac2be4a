package cli

import (
	"context"
	"flag"

	"github.com/hashicorp/vault/api"
)

// at prepares a request at an API path: the cleaned path and a client.
func (s *session) at(path string) (string, *api.Client, error) {
	path, err := cleanPath(path)
	if err != nil {
		return "", nil, err
	}
	client, err := s.client()
	return path, client, err
}

// read gets any path of the API.
type read struct{ field string }

func (*read) describe() description {
	return description{
		usage:    "[flags] PATH",
		synopsis: "Read a path of the API",
		example:  "holdfast read sys/mounts",
		minArgs:  1,
		maxArgs:  1,
	}
}

func (c *read) declare(fs *flag.FlagSet) {
	fs.StringVar(&c.field, "field", "", "print only the field of this `name`")
}

func (c *read) run(ctx context.Context, s *session, args []string) error {
	path, client, err := s.at(args[0])
	if err != nil {
		return err
	}
	secret, err := client.Logical().ReadWithContext(ctx, path)
	if err != nil {
		return remote("read "+path, err)
	}
	return s.showSecret(secret, path, c.field)
}

// write sends fields to any path of the API.
type write struct {
	field string
	force bool
}

func (*write) describe() description {
	return description{
		usage:    "[flags] PATH [KEY=VALUE|KEY=@FILE|@FILE|-]...",
		synopsis: "Write to a path of the API",
		example:  "holdfast write secret/config max_versions=5",
		minArgs:  1,
		maxArgs:  -1,
	}
}

func (c *write) declare(fs *flag.FlagSet) {
	fs.StringVar(&c.field, "field", "", "print only the field of this `name`")
	for _, name := range []string{"force", "f"} {
		fs.BoolVar(&c.force, name, false, "write without any fields")
	}
}

func (c *write) run(ctx context.Context, s *session, args []string) error {
	if len(args) == 1 && !c.force {
		return usageError("no fields given; -force writes without any")
	}
	data, err := readPairs(ctx, s.env.Stdin, args[1:])
	if err != nil {
		return err
	}
	path, client, err := s.at(args[0])
	if err != nil {
		return err
	}
	secret, err := client.Logical().WriteWithContext(ctx, path, data)
	if err != nil {
		return remote("write "+path, err)
	}
	if secret == nil {
		s.out.say("Success! Data written to: %s", path)
		return nil
	}
	return s.showSecret(secret, path, c.field)
}

// list lists the keys below any path of the API.
type list struct{ noFlags }

func (*list) describe() description {
	return description{
		usage:    "[flags] PATH",
		synopsis: "List the keys below a path of the API",
		example:  "holdfast list secret/metadata",
		minArgs:  1,
		maxArgs:  1,
	}
}

func (*list) run(ctx context.Context, s *session, args []string) error {
	path, client, err := s.at(args[0])
	if err != nil {
		return err
	}
	secret, err := client.Logical().ListWithContext(ctx, path)
	if err != nil {
		return remote("list "+path, err)
	}
	return s.showKeys(secret, path)
}

// deletePath deletes any path of the API.
type deletePath struct{ noFlags }

func (*deletePath) describe() description {
	return description{
		usage:    "[flags] PATH",
		synopsis: "Delete a path of the API",
		example:  "holdfast delete sys/mounts/old",
		minArgs:  1,
		maxArgs:  1,
	}
}

func (*deletePath) run(ctx context.Context, s *session, args []string) error {
	path, client, err := s.at(args[0])
	if err != nil {
		return err
	}
	if _, err := client.Logical().DeleteWithContext(ctx, path); err != nil {
		return remote("delete "+path, err)
	}
	s.out.say("Success! Data deleted (if it existed) at: %s", path)
	return nil
}
