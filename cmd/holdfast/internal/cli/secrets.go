package cli

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/hashicorp/vault/api"
)

// mountOptions are the flags that enable and tune have in common.
type mountOptions struct {
	defaultTTL, maxTTL string
	version            optionalInt
	options            stringMap
}

func (m *mountOptions) declare(fs *flag.FlagSet) {
	fs.StringVar(&m.defaultTTL, "default-lease-ttl", "", "`duration` of a lease by default, e.g. 24h")
	fs.StringVar(&m.maxTTL, "max-lease-ttl", "", "longest `duration` of a lease")
	m.version.declare(fs, "version", "`version` of the engine: for kv, 1 or 2")
	m.options.declare(fs, "options", "`key=value` that the engine understands; may be repeated")
}

// all returns the options of the engine, -version among them.
func (m *mountOptions) all() map[string]string {
	options := maps.Clone(m.options)
	if m.version.given {
		if options == nil {
			options = make(map[string]string)
		}
		options["version"] = strconv.Itoa(m.version.value)
	}
	return options
}

// secretsEnable mounts a secrets engine.
type secretsEnable struct {
	mountOptions
	path, description string
}

func (*secretsEnable) describe() description {
	return description{
		usage:    "[flags] TYPE",
		synopsis: "Enable a secrets engine",
		details:  "TYPE is kv, kv-v1 or kv-v2, the last two being kv with -version.",
		example:  "holdfast secrets enable -path=secret kv-v2",
		minArgs:  1,
		maxArgs:  1,
	}
}

func (c *secretsEnable) declare(fs *flag.FlagSet) {
	c.mountOptions.declare(fs)
	fs.StringVar(&c.path, "path", "", "`path` of the engine (default TYPE)")
	fs.StringVar(&c.description, "description", "", "`text` for people")
}

func (c *secretsEnable) run(ctx context.Context, s *session, args []string) error {
	engine := strings.TrimSpace(args[0])
	if c.path == "" {
		c.path = engine
	}
	if base, version, ok := strings.Cut(engine, "-v"); ok && base == "kv" && !c.version.given {
		number, err := strconv.Atoi(version)
		if err != nil {
			return usageError(fmt.Sprintf("there is no engine %q; see -help", engine))
		}
		engine, c.version = base, optionalInt{value: number, given: true}
	}
	path, client, err := s.at(c.path)
	if err != nil {
		return err
	}
	err = client.Sys().MountWithContext(ctx, path, &api.MountInput{
		Type:        engine,
		Description: c.description,
		Config:      api.MountConfigInput{DefaultLeaseTTL: c.defaultTTL, MaxLeaseTTL: c.maxTTL},
		Options:     c.all(),
	})
	if err != nil {
		return remote("enable "+engine, err)
	}
	s.out.say("Success! Enabled the %s secrets engine at: %s/", engine, path)
	return nil
}

// secretsList lists the mounts.
type secretsList struct{ detailed bool }

func (*secretsList) describe() description {
	return description{
		usage:    "[flags]",
		synopsis: "List the secrets engines",
		example:  "holdfast secrets list -detailed",
	}
}

func (c *secretsList) declare(fs *flag.FlagSet) {
	fs.BoolVar(&c.detailed, "detailed", false, "show lease times, options and ids too")
}

func (c *secretsList) run(ctx context.Context, s *session, _ []string) error {
	client, err := s.client()
	if err != nil {
		return err
	}
	mounts, err := client.Sys().ListMountsWithContext(ctx)
	if err != nil {
		return remote("list the secrets engines", err)
	}
	if s.out.json() {
		return s.out.value(mounts)
	}
	header := []string{"Path", "Type", "Accessor", "Description"}
	if c.detailed {
		header = []string{"Path", "Type", "Accessor", "Default TTL", "Max TTL", "Options", "UUID", "Description"}
	}
	rows := make([][]string, 0, len(mounts))
	for _, path := range slices.Sorted(maps.Keys(mounts)) {
		m := mounts[path]
		row := []string{path, m.Type, display(m.Accessor)}
		if c.detailed {
			row = append(row, leaseTime(m.Config.DefaultLeaseTTL), leaseTime(m.Config.MaxLeaseTTL), display(m.Options), display(m.UUID))
		}
		rows = append(rows, append(row, display(m.Description)))
	}
	s.out.table(header, rows)
	return nil
}

// leaseTime shows seconds of a mount's configuration; 0 is the server's default.
func leaseTime(seconds int) string {
	if seconds == 0 {
		return "system"
	}
	return strconv.Itoa(seconds)
}

// secretsDisable removes a mount and everything in it.
type secretsDisable struct{ noFlags }

func (*secretsDisable) describe() description {
	return description{
		usage:    "[flags] PATH",
		synopsis: "Disable a secrets engine and delete all its data",
		example:  "holdfast secrets disable old",
		minArgs:  1,
		maxArgs:  1,
	}
}

func (*secretsDisable) run(ctx context.Context, s *session, args []string) error {
	path, client, err := s.at(args[0])
	if err != nil {
		return err
	}
	if err := client.Sys().UnmountWithContext(ctx, path); err != nil {
		return remote("disable "+path, err)
	}
	s.out.say("Success! Disabled the secrets engine (if it existed) at: %s/", path)
	return nil
}

// secretsTune changes a mount; what no flag names stays as it is.
type secretsTune struct {
	mountOptions
	description *string
}

func (*secretsTune) describe() description {
	return description{
		usage:    "[flags] PATH",
		synopsis: "Change the settings of a secrets engine",
		example:  "holdfast secrets tune -description=\"team secrets\" secret",
		minArgs:  1,
		maxArgs:  1,
	}
}

func (c *secretsTune) declare(fs *flag.FlagSet) {
	c.mountOptions.declare(fs)
	fs.Func("description", "`text` for people", func(text string) error {
		c.description = &text
		return nil
	})
}

func (c *secretsTune) run(ctx context.Context, s *session, args []string) error {
	changes := make(map[string]any)
	if c.defaultTTL != "" {
		changes["default_lease_ttl"] = c.defaultTTL
	}
	if c.maxTTL != "" {
		changes["max_lease_ttl"] = c.maxTTL
	}
	if c.description != nil {
		changes["description"] = *c.description
	}
	if options := c.all(); options != nil {
		changes["options"] = options
	}
	if len(changes) == 0 {
		return usageError("nothing to change; see -help")
	}
	path, client, err := s.at(args[0])
	if err != nil {
		return err
	}
	if _, err := client.Logical().WriteWithContext(ctx, "sys/mounts/"+path+"/tune", changes); err != nil {
		return remote("tune "+path, err)
	}
	s.out.say("Success! Tuned the secrets engine at: %s/", path)
	return nil
}
