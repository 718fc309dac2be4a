package cli

import (
	"context"
	"flag"
	"fmt"
	"strings"

	"github.com/hashicorp/vault/api"
)

// mountFlag is the flag that every kv command has. With it the argument is a
// path within the mount; without it, mount and path in one.
type mountFlag struct{ mount string }

func (m *mountFlag) declare(fs *flag.FlagSet) {
	fs.StringVar(&m.mount, "mount", "", "`path` of the engine, when the argument does not begin with it")
}

// kvPath is one secret, or directory of them, in a KV engine.
type kvPath struct {
	mount  string // ends in a slash; empty if the server did not say
	secret string // within the mount
	v2     bool
}

// at is the API path. A version 2 engine has one tree for each kind of request:
// data, metadata, delete, undelete, destroy. Version 1 has only the data.
func (p kvPath) at(kind string) string {
	if !p.v2 {
		return p.mount + p.secret
	}
	return p.mount + kind + "/" + p.secret
}

// locate asks the server which engine serves argument, and which version it has.
// A server that does not know the question has version 1 only.
func (m *mountFlag) locate(ctx context.Context, client *api.Client, argument string) (kvPath, error) {
	mount, secret, err := m.split(argument)
	if err != nil {
		return kvPath{}, err
	}
	asked := mount
	if asked == "" {
		asked = secret
	}
	engine, err := client.Logical().ReadWithContext(ctx, "sys/internal/ui/mounts/"+asked)
	if err != nil {
		return kvPath{}, remote("find the engine of "+asked, err)
	}
	if engine == nil {
		return kvPath{mount: strings.TrimPrefix(mount+"/", "/"), secret: secret}, nil
	}
	found, _ := engine.Data["path"].(string)
	rest, ok := strings.CutPrefix(asked+"/", found)
	if found == "" || !ok {
		return kvPath{}, fmt.Errorf("find the engine of %s: the server named %q", asked, found)
	}
	if kind, _ := engine.Data["type"].(string); kind != "kv" {
		return kvPath{}, fmt.Errorf("find the engine of %s: it is of type %q, not kv", asked, kind)
	}
	if mount == "" {
		secret = strings.TrimSuffix(rest, "/")
	} else if rest != "" {
		return kvPath{}, fmt.Errorf("find the engine at %s: there is none; it lies within %s", mount, found)
	}
	options, _ := engine.Data["options"].(map[string]any)
	return kvPath{mount: found, secret: secret, v2: options["version"] == "2"}, nil
}

// split cleans -mount and argument. The secret may be empty if there is a mount.
func (m *mountFlag) split(argument string) (mount, secret string, err error) {
	if m.mount == "" {
		secret, err = cleanPath(argument)
		return "", secret, err
	}
	mount, err = cleanPath(m.mount)
	if err != nil {
		return "", "", fmt.Errorf("read -mount: %w", err)
	}
	if strings.Trim(strings.TrimSpace(argument), "/") == "" {
		return mount, "", nil
	}
	secret, err = cleanPath(argument)
	return mount, secret, err
}

// locateSecret is locate for a command that needs a secret, not a directory.
func (m *mountFlag) locateSecret(ctx context.Context, client *api.Client, argument string) (kvPath, error) {
	path, err := m.locate(ctx, client, argument)
	if err == nil && path.secret == "" {
		return kvPath{}, usageError("the path names an engine, not a secret in it")
	}
	return path, err
}

// locateVersioned is locateSecret for a command that version 1 does not have.
func (m *mountFlag) locateVersioned(ctx context.Context, client *api.Client, argument string) (kvPath, error) {
	path, err := m.locateSecret(ctx, client, argument)
	if err == nil && !path.v2 {
		return kvPath{}, errVersion1(path)
	}
	return path, err
}

func errVersion1(path kvPath) error {
	return fmt.Errorf("use versions of %s: its engine is KV version 1, which keeps none", path.at(""))
}
