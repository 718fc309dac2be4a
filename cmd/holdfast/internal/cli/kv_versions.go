package cli

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"

	"github.com/hashicorp/vault/api"
)

// kvDelete deletes the latest version, or some; they can be undeleted.
type kvDelete struct {
	mountFlag
	versions versionList
}

func (*kvDelete) describe() description {
	return description{
		usage:    "[flags] PATH",
		synopsis: "Delete a secret; in a version 2 engine it can be undeleted",
		example:  "holdfast kv delete secret/db\nholdfast kv delete -versions=1,2 secret/db",
		minArgs:  1,
		maxArgs:  1,
	}
}

func (c *kvDelete) declare(fs *flag.FlagSet) {
	c.mountFlag.declare(fs)
	c.versions.declare(fs, "`versions` to delete, e.g. 1,2 (default the latest)")
}

func (c *kvDelete) run(ctx context.Context, s *session, args []string) error {
	client, err := s.client()
	if err != nil {
		return err
	}
	path, err := c.locateSecret(ctx, client, args[0])
	if err != nil {
		return err
	}
	switch {
	case len(c.versions) == 0:
		_, err = client.Logical().DeleteWithContext(ctx, path.at("data"))
	case path.v2:
		_, err = client.Logical().WriteWithContext(ctx, path.at("delete"), map[string]any{"versions": c.versions})
	default:
		return errVersion1(path)
	}
	if err != nil {
		return remote("delete "+path.at("data"), err)
	}
	s.out.say("Success! Data deleted (if it existed) at: %s", path.at("data"))
	return nil
}

// kvUndelete brings deleted versions back.
type kvUndelete struct {
	mountFlag
	versions versionList
}

func (*kvUndelete) describe() description {
	return description{
		usage:    "-versions=N[,N] [flags] PATH",
		synopsis: "Bring back deleted versions of a secret (KV version 2)",
		example:  "holdfast kv undelete -versions=3 secret/db",
		minArgs:  1,
		maxArgs:  1,
	}
}

func (c *kvUndelete) declare(fs *flag.FlagSet) {
	c.mountFlag.declare(fs)
	c.versions.declare(fs, "`versions` to bring back, e.g. 1,2")
}

func (c *kvUndelete) run(ctx context.Context, s *session, args []string) error {
	return s.changeVersions(ctx, &c.mountFlag, "undelete", c.versions, args[0])
}

// kvDestroy removes the data of versions for good.
type kvDestroy struct {
	mountFlag
	versions versionList
}

func (*kvDestroy) describe() description {
	return description{
		usage:    "-versions=N[,N] [flags] PATH",
		synopsis: "Remove the data of versions of a secret for good (KV version 2)",
		example:  "holdfast kv destroy -versions=1,2 secret/db",
		minArgs:  1,
		maxArgs:  1,
	}
}

func (c *kvDestroy) declare(fs *flag.FlagSet) {
	c.mountFlag.declare(fs)
	c.versions.declare(fs, "`versions` to destroy, e.g. 1,2")
}

func (c *kvDestroy) run(ctx context.Context, s *session, args []string) error {
	return s.changeVersions(ctx, &c.mountFlag, "destroy", c.versions, args[0])
}

// changeVersions undeletes or destroys versions of the secret at argument.
func (s *session) changeVersions(ctx context.Context, mount *mountFlag, verb string, versions versionList, argument string) error {
	if len(versions) == 0 {
		return usageError("no versions given; use -versions")
	}
	client, err := s.client()
	if err != nil {
		return err
	}
	path, err := mount.locateVersioned(ctx, client, argument)
	if err != nil {
		return err
	}
	if _, err := client.Logical().WriteWithContext(ctx, path.at(verb), map[string]any{"versions": versions}); err != nil {
		return remote("write "+path.at(verb), err)
	}
	s.out.say("Success! Data written to: %s", path.at(verb))
	return nil
}

// kvRollback makes an old version the latest one again.
type kvRollback struct {
	mountFlag
	version optionalInt
}

func (*kvRollback) describe() description {
	return description{
		usage:    "-version=N [flags] PATH",
		synopsis: "Write an old version of a secret again, as the latest one (KV version 2)",
		details:  "It is refused if somebody else writes the secret at the same time.",
		example:  "holdfast kv rollback -version=2 secret/db",
		minArgs:  1,
		maxArgs:  1,
	}
}

func (c *kvRollback) declare(fs *flag.FlagSet) {
	c.mountFlag.declare(fs)
	c.version.declare(fs, "version", "`version` to write again")
}

func (c *kvRollback) run(ctx context.Context, s *session, args []string) error {
	if c.version.value < 1 {
		return usageError("no version given; use -version")
	}
	client, err := s.client()
	if err != nil {
		return err
	}
	path, err := c.locateVersioned(ctx, client, args[0])
	if err != nil {
		return err
	}
	latest, err := latestVersion(ctx, client, path)
	if err != nil {
		return err
	}
	old, err := readKV(ctx, client, path, c.version)
	if err != nil {
		return err
	}
	data, ok := old.Data["data"].(map[string]any)
	if !ok {
		return fmt.Errorf("roll back %s: version %d was deleted or destroyed", path.at("data"), c.version.value)
	}
	secret, err := client.Logical().WriteWithContext(ctx, path.at("data"), versionedBody(data, latest))
	if err != nil {
		return remote("write "+path.at("data"), err)
	}
	return s.showWritten(secret, path, "")
}

// latestVersion is the number of the latest version, deleted or not.
func latestVersion(ctx context.Context, client *api.Client, path kvPath) (optionalInt, error) {
	secret, err := client.Logical().ReadWithContext(ctx, path.at("metadata"))
	if err != nil {
		return optionalInt{}, remote("read "+path.at("metadata"), err)
	}
	if secret == nil {
		return optionalInt{}, noValue(path.at("metadata"))
	}
	number, _ := secret.Data["current_version"].(json.Number)
	version, err := number.Int64()
	if err != nil {
		return optionalInt{}, fmt.Errorf("read %s: the answer has no current_version", path.at("metadata"))
	}
	return optionalInt{value: int(version), given: true}, nil
}
