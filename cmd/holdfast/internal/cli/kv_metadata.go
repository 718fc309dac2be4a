package cli

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/hashicorp/vault/api"
)

// kvMetadataGet shows the versions and settings of a secret.
type kvMetadataGet struct {
	mountFlag
	field string
}

func (*kvMetadataGet) describe() description {
	return description{
		usage:    "[flags] PATH",
		synopsis: "Show the versions and settings of a secret (KV version 2)",
		example:  "holdfast kv metadata get secret/db",
		minArgs:  1,
		maxArgs:  1,
	}
}

func (c *kvMetadataGet) declare(fs *flag.FlagSet) {
	c.mountFlag.declare(fs)
	fs.StringVar(&c.field, "field", "", "print only the field of this `name`")
}

func (c *kvMetadataGet) run(ctx context.Context, s *session, args []string) error {
	client, err := s.client()
	if err != nil {
		return err
	}
	path, err := c.locateVersioned(ctx, client, args[0])
	if err != nil {
		return err
	}
	secret, err := client.Logical().ReadWithContext(ctx, path.at("metadata"))
	if err != nil {
		return remote("read "+path.at("metadata"), err)
	}
	if secret == nil || c.field != "" || s.out.json() {
		return s.showSecret(secret, path.at("metadata"), c.field)
	}
	s.warn(secret)
	return s.showMetadata(secret, path)
}

func (s *session) showMetadata(secret *api.Secret, path kvPath) error {
	settings := maps.Clone(secret.Data)
	delete(settings, "versions")
	s.out.location("Metadata Path", path.at("metadata"))
	s.out.titled("Metadata", settings)
	versions, _ := secret.Data["versions"].(map[string]any)
	numbers := make([]int, 0, len(versions))
	for name := range versions {
		number, err := strconv.Atoi(name)
		if err != nil {
			return fmt.Errorf("read %s: version %q is not a number", path.at("metadata"), name)
		}
		numbers = append(numbers, number)
	}
	slices.Sort(numbers)
	for _, number := range numbers {
		version, _ := versions[strconv.Itoa(number)].(map[string]any)
		s.out.line("")
		s.out.titled(fmt.Sprintf("Version %d", number), version)
	}
	return nil
}

// kvMetadataPut changes the settings of a secret.
type kvMetadataPut struct {
	mountFlag
	maxVersions optionalInt
	casRequired *bool
	deleteAfter string
	custom      stringMap
}

func (*kvMetadataPut) describe() description {
	return description{
		usage:    "[flags] PATH",
		synopsis: "Change the settings of a secret (KV version 2)",
		example:  "holdfast kv metadata put -max-versions=5 -custom-metadata=owner=team secret/db",
		minArgs:  1,
		maxArgs:  1,
	}
}

func (c *kvMetadataPut) declare(fs *flag.FlagSet) {
	c.mountFlag.declare(fs)
	c.maxVersions.declare(fs, "max-versions", "`number` of versions to keep; 0 = as the engine is set")
	fs.BoolFunc("cas-required", "refuse writes without -cas", func(text string) error {
		required, err := strconv.ParseBool(text)
		c.casRequired = &required
		return err
	})
	fs.StringVar(&c.deleteAfter, "delete-version-after", "", "`duration` after which a version is deleted, e.g. 24h")
	c.custom.declare(fs, "custom-metadata", "`key=value` for people; may be repeated, and replaces all there was")
}

func (c *kvMetadataPut) run(ctx context.Context, s *session, args []string) error {
	settings := make(map[string]any)
	if c.maxVersions.given {
		settings["max_versions"] = c.maxVersions.value
	}
	if c.casRequired != nil {
		settings["cas_required"] = *c.casRequired
	}
	if c.deleteAfter != "" {
		settings["delete_version_after"] = c.deleteAfter
	}
	if c.custom != nil {
		settings["custom_metadata"] = c.custom
	}
	client, err := s.client()
	if err != nil {
		return err
	}
	path, err := c.locateVersioned(ctx, client, args[0])
	if err != nil {
		return err
	}
	if _, err := client.Logical().WriteWithContext(ctx, path.at("metadata"), settings); err != nil {
		return remote("write "+path.at("metadata"), err)
	}
	s.out.say("Success! Data written to: %s", path.at("metadata"))
	return nil
}

// kvMetadataDelete removes a secret with all its versions.
type kvMetadataDelete struct{ mountFlag }

func (*kvMetadataDelete) describe() description {
	return description{
		usage:    "[flags] PATH",
		synopsis: "Remove a secret with all its versions for good (KV version 2)",
		example:  "holdfast kv metadata delete secret/db",
		minArgs:  1,
		maxArgs:  1,
	}
}

func (c *kvMetadataDelete) run(ctx context.Context, s *session, args []string) error {
	client, err := s.client()
	if err != nil {
		return err
	}
	path, err := c.locateVersioned(ctx, client, args[0])
	if err != nil {
		return err
	}
	if _, err := client.Logical().DeleteWithContext(ctx, path.at("metadata")); err != nil {
		return remote("delete "+path.at("metadata"), err)
	}
	s.out.say("Success! Data deleted (if it existed) at: %s", path.at("metadata"))
	return nil
}
