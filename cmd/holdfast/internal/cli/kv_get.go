package cli

import (
	"context"
	"flag"
	"strconv"

	"github.com/hashicorp/vault/api"
)

// kvGet reads a secret.
type kvGet struct {
	mountFlag
	version optionalInt
	field   string
}

func (*kvGet) describe() description {
	return description{
		usage:    "[flags] PATH",
		synopsis: "Read a secret",
		example:  "holdfast kv get secret/db\nholdfast kv get -field=password -version=3 secret/db",
		minArgs:  1,
		maxArgs:  1,
	}
}

func (c *kvGet) declare(fs *flag.FlagSet) {
	c.mountFlag.declare(fs)
	c.version.declare(fs, "version", "`version` to read (default the latest)")
	fs.StringVar(&c.field, "field", "", "print only the field of this `name`")
}

func (c *kvGet) run(ctx context.Context, s *session, args []string) error {
	client, err := s.client()
	if err != nil {
		return err
	}
	path, err := c.locateSecret(ctx, client, args[0])
	if err != nil {
		return err
	}
	if c.version.given && !path.v2 {
		return errVersion1(path)
	}
	secret, err := readKV(ctx, client, path, c.version)
	if err != nil {
		return err
	}
	s.warn(secret)
	return c.show(s, secret, path)
}

// readKV reads a secret, or one version of it. A version that was deleted has
// metadata and no data.
func readKV(ctx context.Context, client *api.Client, path kvPath, version optionalInt) (*api.Secret, error) {
	var query map[string][]string
	if version.given {
		query = map[string][]string{"version": {strconv.Itoa(version.value)}}
	}
	secret, err := client.Logical().ReadWithDataWithContext(ctx, path.at("data"), query)
	if err != nil {
		return nil, remote("read "+path.at("data"), err)
	}
	if secret == nil {
		return nil, noValue(path.at("data"))
	}
	return secret, nil
}

func (c *kvGet) show(s *session, secret *api.Secret, path kvPath) error {
	data, exists := secret.Data, true
	if path.v2 {
		data, exists = secret.Data["data"].(map[string]any)
	}
	if c.field != "" {
		if !exists {
			return exitError{code: exitRemote, message: "No data found at " + path.at("data")}
		}
		return s.out.field(data, c.field)
	}
	if s.out.json() {
		return s.out.value(secret)
	}
	if path.v2 {
		s.out.location("Secret Path", path.at("data"))
	}
	if metadata, ok := secret.Data["metadata"].(map[string]any); ok && path.v2 {
		s.out.titled("Metadata", metadata)
		s.out.line("")
	}
	if exists {
		s.out.titled("Data", data)
	}
	return nil
}

// kvList lists the secrets below a path.
type kvList struct{ mountFlag }

func (*kvList) describe() description {
	return description{
		usage:    "[flags] [PATH]",
		synopsis: "List the secrets below a path; directories end in a slash",
		example:  "holdfast kv list secret/team",
		maxArgs:  1,
	}
}

func (c *kvList) run(ctx context.Context, s *session, args []string) error {
	if len(args) == 0 && c.mount == "" {
		return usageError("no path given; see -help")
	}
	client, err := s.client()
	if err != nil {
		return err
	}
	argument := ""
	if len(args) > 0 {
		argument = args[0]
	}
	path, err := c.locate(ctx, client, argument)
	if err != nil {
		return err
	}
	secret, err := client.Logical().ListWithContext(ctx, path.at("metadata"))
	if err != nil {
		return remote("list "+path.at("metadata"), err)
	}
	return s.showKeys(secret, path.at("metadata"))
}
