// Package cli holds the client commands of holdfast: all but the server.
//
// A command is a struct whose fields are its flags; execute parses the command
// line into it, runs it and turns its error into an exit code. The commands,
// their output and their exit codes are those that users of Vault know.
package cli

import (
	"context"
	"io"

	hcli "github.com/hashicorp/cli"
)

// Env is what a command may use of the process it runs in.
type Env struct {
	// Getenv returns a variable of the environment, empty if it is not set.
	Getenv func(string) string
	// Stdin is asked for secrets without echo if it is a terminal.
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	// Version of this program, for holdfast version.
	Version string
}

// Commands returns the client commands by name, for example "kv put". They stop
// when ctx ends. Each call of a factory makes an independent command.
func Commands(ctx context.Context, env Env) map[string]hcli.CommandFactory {
	factories := make(map[string]hcli.CommandFactory)
	for name, build := range catalogue() {
		factories[name] = func() (hcli.Command, error) {
			run := func(args []string) int { return execute(ctx, env, name, build(), args) }
			return &entry{name: name, command: build(), run: run}, nil
		}
	}
	for name, synopsis := range map[string]string{
		"kv":          "Read and write secrets",
		"kv metadata": "Versions and settings of secrets",
		"operator":    "Initialise, unseal and look after a cluster",
		"secrets":     "Enable and disable secrets engines",
		"token":       "Look at tokens",
	} {
		factories[name] = func() (hcli.Command, error) { return &group{name: name, synopsis: synopsis}, nil }
	}
	return factories
}

// catalogue lists every client command.
func catalogue() map[string]func() command {
	return map[string]func() command{
		"version":                 func() command { return &versionCommand{} },
		"status":                  func() command { return &status{} },
		"operator init":           func() command { return &operatorInit{} },
		"operator unseal":         func() command { return &operatorUnseal{} },
		"operator seal":           func() command { return &operatorSeal{} },
		"operator step-down":      func() command { return &operatorStepDown{} },
		"operator members":        func() command { return &operatorMembers{} },
		"operator accept-restore": func() command { return &operatorAcceptRestore{} },
		"operator rotate":         func() command { return &operatorRotate{} },
		"operator key-status":     func() command { return &operatorKeyStatus{} },
		"plugin status":           func() command { return &pluginStatus{} },
		"plugin reload":           func() command { return &pluginReload{} },
		"login":                   func() command { return &login{} },
		"token lookup":            func() command { return &tokenLookup{} },
		"read":                    func() command { return &read{} },
		"write":                   func() command { return &write{} },
		"list":                    func() command { return &list{} },
		"delete":                  func() command { return &deletePath{} },
		"secrets enable":          func() command { return &secretsEnable{} },
		"secrets list":            func() command { return &secretsList{} },
		"secrets disable":         func() command { return &secretsDisable{} },
		"secrets tune":            func() command { return &secretsTune{} },
		"kv put":                  func() command { return &kvPut{} },
		"kv patch":                func() command { return &kvPatch{} },
		"kv get":                  func() command { return &kvGet{} },
		"kv list":                 func() command { return &kvList{} },
		"kv delete":               func() command { return &kvDelete{} },
		"kv undelete":             func() command { return &kvUndelete{} },
		"kv destroy":              func() command { return &kvDestroy{} },
		"kv rollback":             func() command { return &kvRollback{} },
		"kv metadata get":         func() command { return &kvMetadataGet{} },
		"kv metadata put":         func() command { return &kvMetadataPut{} },
		"kv metadata delete":      func() command { return &kvMetadataDelete{} },
	}
}

// entry is a command as the dispatcher wants it.
type entry struct {
	name    string
	command command
	run     func(args []string) int
}

func (e *entry) Run(args []string) int { return e.run(args) }
func (e *entry) Synopsis() string      { return e.command.describe().synopsis }
func (e *entry) Help() string          { return helpText(e.name, e.command) }

// group is the parent of some commands. The dispatcher lists them below its help.
type group struct{ name, synopsis string }

func (g *group) Run([]string) int { return hcli.RunResultHelp }
func (g *group) Synopsis() string { return g.synopsis }

func (g *group) Help() string {
	return "Usage: holdfast " + g.name + " <subcommand> [flags] [args]\n\n  " + g.synopsis + "."
}
