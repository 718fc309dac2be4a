package cli

import (
	"context"
	"flag"

	"github.com/hashicorp/vault/api"
)

// kvPut writes a secret.
type kvPut struct {
	mountFlag
	cas   optionalInt
	field string
}

func (*kvPut) describe() description {
	return description{
		usage:    "[flags] PATH KEY=VALUE|KEY=@FILE|KEY=-|@FILE|-...",
		synopsis: "Write a secret; in a version 2 engine, as a new version",
		details: "@FILE and - take a JSON object from a file or standard input, KEY=@FILE and KEY=-\n" +
			"the value of one key.",
		example: "holdfast kv put secret/db user=app password=@password.txt\nholdfast kv put -mount=secret -cas=3 db user=app",
		minArgs: 1,
		maxArgs: -1,
	}
}

func (c *kvPut) declare(fs *flag.FlagSet) {
	c.mountFlag.declare(fs)
	declareCAS(fs, &c.cas)
	fs.StringVar(&c.field, "field", "", "print only the field of this `name` of the answer")
}

func declareCAS(fs *flag.FlagSet, cas *optionalInt) {
	cas.declare(fs, "cas", "write only if this `version` is the latest one; 0 = only if there is none")
}

func (c *kvPut) run(ctx context.Context, s *session, args []string) error {
	data, client, err := s.prepareWrite(ctx, args)
	if err != nil {
		return err
	}
	path, err := c.locateSecret(ctx, client, args[0])
	if err != nil {
		return err
	}
	body := data
	if path.v2 {
		body = versionedBody(data, c.cas)
	} else if c.cas.given {
		return errVersion1(path)
	}
	secret, err := client.Logical().WriteWithContext(ctx, path.at("data"), body)
	if err != nil {
		return remote("write "+path.at("data"), err)
	}
	return s.showWritten(secret, path, c.field)
}

// prepareWrite reads the fields in args, which follow the path, and makes a client.
func (s *session) prepareWrite(ctx context.Context, args []string) (map[string]any, *api.Client, error) {
	if len(args) < 2 {
		return nil, nil, usageError("no fields given; see -help")
	}
	data, err := readPairs(ctx, s.env.Stdin, args[1:])
	if err != nil {
		return nil, nil, err
	}
	client, err := s.client()
	return data, client, err
}

// versionedBody is the body of a write to a version 2 engine.
func versionedBody(data map[string]any, cas optionalInt) map[string]any {
	body := map[string]any{"data": data}
	if cas.given {
		body["options"] = map[string]any{"cas": cas.value}
	}
	return body
}

// showWritten prints the answer to a write: what a version 2 engine says of the
// new version, or that it is done.
func (s *session) showWritten(secret *api.Secret, path kvPath, field string) error {
	if secret == nil {
		s.out.say("Success! Data written to: %s", path.at("data"))
		return nil
	}
	if field != "" || s.out.json() {
		return s.showSecret(secret, path.at("data"), field)
	}
	s.warn(secret)
	s.out.location("Secret Path", path.at("data"))
	s.out.titled("Metadata", secret.Data)
	return nil
}

// kvPatch changes some fields of a secret.
type kvPatch struct {
	mountFlag
	cas   optionalInt
	field string
}

func (*kvPatch) describe() description {
	return description{
		usage:    "[flags] PATH KEY=VALUE|KEY=@FILE|KEY=-|@FILE|-...",
		synopsis: "Change some fields of a secret and leave the others (KV version 2)",
		details:  "A field that is null in a JSON object is removed.",
		example:  "holdfast kv patch secret/db password=@new.txt",
		minArgs:  1,
		maxArgs:  -1,
	}
}

func (c *kvPatch) declare(fs *flag.FlagSet) {
	c.mountFlag.declare(fs)
	declareCAS(fs, &c.cas)
	fs.StringVar(&c.field, "field", "", "print only the field of this `name` of the answer")
}

func (c *kvPatch) run(ctx context.Context, s *session, args []string) error {
	data, client, err := s.prepareWrite(ctx, args)
	if err != nil {
		return err
	}
	path, err := c.locateVersioned(ctx, client, args[0])
	if err != nil {
		return err
	}
	secret, err := client.Logical().JSONMergePatch(ctx, path.at("data"), versionedBody(data, c.cas))
	if err != nil {
		return remote("patch "+path.at("data"), err)
	}
	return s.showWritten(secret, path, c.field)
}
