// Command holdfast is the secrets server and its client in one program.
package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"os/signal"
	"syscall"

	hcli "github.com/hashicorp/cli"

	"github.com/holdfast/holdfast/cmd/holdfast/internal/cli"
	"github.com/holdfast/holdfast/cmd/holdfast/internal/plugindir"
	"github.com/holdfast/holdfast/cmd/holdfast/internal/pluginnew"
	"github.com/holdfast/holdfast/cmd/holdfast/internal/pluginshell"
	"github.com/holdfast/holdfast/cmd/holdfast/internal/plugintest"
	"github.com/holdfast/holdfast/cmd/holdfast/internal/server"
)

func main() {
	getenv := takeEnvironment()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	code := run(ctx, os.Args[1:], getenv, os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run executes one command line, args without the program's name, and returns
// the exit code of the process. The command stops when ctx ends.
func run(ctx context.Context, args []string, getenv func(string) string, stdin io.Reader, stdout, stderr io.Writer) int {
	version := buildVersion()
	commands := cli.Commands(ctx, cli.Env{
		Getenv:  getenv,
		Stdin:   stdin,
		Stdout:  stdout,
		Stderr:  stderr,
		Version: version,
	})
	commands["server"] = server.Command(ctx, server.Env{
		Getenv: getenv, Stdin: stdin, Stdout: stdout, Stderr: stderr, Version: version,
	})
	maps.Copy(commands, plugintest.Commands(ctx, plugintest.Env{
		Stdin: stdin, Stdout: stdout, Stderr: stderr, Version: version,
	}))
	maps.Copy(commands, pluginshell.Commands(ctx, pluginshell.Env{Stdin: stdin, Stdout: stdout, Stderr: stderr}))
	maps.Copy(commands, pluginnew.Commands(ctx, pluginnew.Env{Stdout: stdout, Stderr: stderr}))
	maps.Copy(commands, plugindir.Commands(ctx, plugindir.Env{Stdout: stdout, Stderr: stderr}))
	dispatcher := &hcli.CLI{
		Name:        "holdfast",
		Version:     "Holdfast " + version,
		Args:        args,
		Commands:    commands,
		HelpWriter:  stdout,
		ErrorWriter: stderr,
	}
	code, err := dispatcher.Run()
	if err != nil {
		fmt.Fprintln(stderr, "Error:", err)
	}
	return code
}
