package server

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/hashicorp/vault/api"

	"github.com/holdfast/holdfast/host/auth"
	"github.com/holdfast/holdfast/host/config"
	"github.com/holdfast/holdfast/sdk/wire"
)

// devCluster is several development servers and the one storage plugin they share, as
// processes that a newcomer can stop, freeze and kill.
type devCluster struct {
	env     Env
	plugins string
	token   string
	dir     string // private, for the plugin's socket
	nodes   []*devNode
	exited  chan string    // says which process ended
	servers sync.WaitGroup // of the nodes
	plugin  sync.WaitGroup
}

// devNode is one server process.
type devNode struct {
	address string
	cmd     *exec.Cmd
	client  *api.Client
	leash   io.Closer // the server stops when it is closed, also because this process died
}

// runDevCluster runs a development cluster until ctx ends or its plugin dies.
func runDevCluster(ctx context.Context, env Env, o *options) (err error) {
	c := &devCluster{env: env, plugins: o.plugins, token: o.devToken, exited: make(chan string, o.devNodes+1)}
	if c.plugins == "" {
		c.plugins = bundledPlugins()
	}
	if c.token == "" {
		c.token = auth.NewToken()
	}
	if c.dir, err = os.MkdirTemp("", "holdfast-dev-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(c.dir)) }()
	// The plugin outlives ctx: the nodes need it to hand over.
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer c.plugin.Wait()
	defer stop()
	attach, err := c.startPlugin(running)
	if err != nil {
		return err
	}
	defer c.stopNodes() // while the plugin still runs
	if err := c.startNodes(ctx, o, attach); err != nil {
		return err
	}
	if err := c.unseal(ctx); err != nil {
		return err
	}
	c.print()
	return c.wait(ctx)
}

const pluginProcess = "the storage plugin"

// wait returns when ctx ends, or with an error when the data is gone or nobody is left.
func (c *devCluster) wait(ctx context.Context) error {
	left := len(c.nodes)
	for {
		select {
		case <-ctx.Done():
			return nil
		case who := <-c.exited:
			if who == pluginProcess {
				return errors.New("the storage plugin died, and the data with it: it was in its memory only. Start again")
			}
			fmt.Fprintln(c.env.Stdout, who, "ended")
			if left--; left == 0 {
				return errors.New("all servers have ended")
			}
		}
	}
}

// startPlugin starts the in-memory plugin by itself and returns where it listens.
func (c *devCluster) startPlugin(ctx context.Context) (attach string, err error) {
	storage := config.Dev().Storage.Type
	binary := filepath.Join(c.plugins, "holdfast-storage-"+storage)
	cmd := exec.CommandContext(ctx, binary, "serve", "-debug", "-socket", filepath.Join(c.dir, "plugin.sock"))
	cmd.Stderr = c.env.Stderr
	self, err := ownDescriptor() // the plugin ends when this process is killed
	if err != nil {
		return "", err
	}
	defer self.Close()
	cmd.ExtraFiles = []*os.File{self} // the first of them is number 3 in the child
	cmd.Env = []string{wire.HostPIDFDKey + "=3"}
	out, err := c.start(cmd, pluginProcess, &c.plugin)
	if err != nil {
		return "", fmt.Errorf("start the storage plugin (make build builds it): %w", err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return "", fmt.Errorf("the storage plugin did not say where it listens: %w", err)
	}
	_, quoted, _ := strings.Cut(line, "= ")
	if attach, err = strconv.Unquote(strings.TrimSpace(quoted)); err != nil {
		return "", fmt.Errorf("the storage plugin said %q instead of where it listens", line)
	}
	return attach, nil
}

// start starts cmd in a process group of its own, so that Ctrl-C reaches only this
// process, and has its end told to exited.
func (c *devCluster) start(cmd *exec.Cmd, name string, running *sync.WaitGroup) (stdout io.Reader, err error) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = stopTime
	reader, writer, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	cmd.Stdout = writer
	err = cmd.Start()
	_ = writer.Close() // the child has its own
	if err != nil {
		_ = reader.Close()
		return nil, err
	}
	running.Go(func() {
		_ = cmd.Wait() // how it ended shows in its log
		_ = reader.Close()
		c.exited <- name
	})
	return reader, nil
}

func (c *devCluster) startNodes(ctx context.Context, o *options, attach string) error {
	base := o.devListen
	if base == "" {
		base = config.Dev().Listeners[0].Address
	}
	host, portText, err := net.SplitHostPort(base)
	if err != nil {
		return fmt.Errorf("-dev-listen-address: %w", err)
	}
	port, err := strconv.Atoi(portText)
	if err != nil {
		return fmt.Errorf("-dev-listen-address: port: %w", err)
	}
	for i := range o.devNodes {
		// Two ports each: the second is the cluster address.
		n := &devNode{address: net.JoinHostPort(host, strconv.Itoa(port+2*i))}
		c.nodes = append(c.nodes, n)
		if err := c.startNode(ctx, n, attach, o.logLevel); err != nil {
			return fmt.Errorf("start the server on %s: %w", n.address, err)
		}
	}
	return nil
}

func (c *devCluster) startNode(ctx context.Context, n *devNode, attach, logLevel string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	// Not bound to ctx: stopNodes ends the nodes.
	n.cmd = exec.CommandContext(context.WithoutCancel(ctx), self, "server", "-dev", "-dev-listen-address="+n.address,
		"-dev-attach="+attach, "-log-level="+logLevel)
	n.cmd.Env = append(nodeEnviron(), "HOLDFAST_DEV_ROOT_TOKEN_ID="+c.token)
	n.cmd.Stderr = c.env.Stderr
	if n.leash, err = n.cmd.StdinPipe(); err != nil {
		return err
	}
	out, err := c.start(n.cmd, "the server on "+n.address, &c.servers)
	if err != nil {
		return err
	}
	// The banner says that it serves.
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if strings.HasPrefix(lines.Text(), "==> Holdfast server started") {
			n.client, err = devClient(n.address, c.token)
			return err
		}
	}
	return errors.New("it ended before it served")
}

// nodeEnviron is the environment of a node: that of this process, without what can be that of
// one node only, and without another plugin than the one that the nodes share.
func nodeEnviron() []string {
	return slices.DeleteFunc(os.Environ(), func(entry string) bool {
		name, _, _ := strings.Cut(entry, "=")
		return slices.Contains([]string{"HOLDFAST_API_ADDR", "HOLDFAST_CLUSTER_ADDR", "HOLDFAST_PLUGIN_ATTACH"}, name)
	})
}

func devClient(address, token string) (*api.Client, error) {
	cfg := api.DefaultConfig()
	if cfg.Error != nil {
		return nil, cfg.Error
	}
	cfg.Address = "http://" + address
	client, err := api.NewClient(cfg)
	if err == nil {
		client.SetToken(token)
	}
	return client, err
}

// unseal initialises the cluster by its first node and unseals all of them.
func (c *devCluster) unseal(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	first := c.nodes[0].client
	keys, err := first.Sys().InitWithContext(ctx, &api.InitRequest{SecretShares: 1, SecretThreshold: 1})
	if err != nil {
		return fmt.Errorf("initialise: %w", err)
	}
	for _, n := range c.nodes {
		if _, err := n.client.Sys().UnsealWithContext(ctx, keys.KeysB64[0]); err != nil {
			return fmt.Errorf("unseal the server on %s: %w", n.address, err)
		}
	}
	return first.Sys().MountWithContext(ctx, "secret", &api.MountInput{
		Type: devMount.Type, Description: devMount.Description, Options: devMount.Options,
	})
}

func (c *devCluster) print() {
	out := c.env.Stdout
	fmt.Fprintf(out, "\n%d development servers share one storage plugin in memory. Their data ends with it.\n\n", len(c.nodes))
	for _, n := range c.nodes {
		fmt.Fprintf(out, "    http://%s  pid %d\n", n.address, n.cmd.Process.Pid)
	}
	fmt.Fprintf(out, `
In another terminal:

    $ export HOLDFAST_ADDR='http://%s'
    $ export HOLDFAST_TOKEN='%s'
    $ holdfast operator members
    $ holdfast operator step-down
    $ kill -9 <pid of the active node>

Root Token: %s

Development mode is ready.
`, c.nodes[len(c.nodes)-1].address, c.token, c.token)
}

// stopNodes ends the nodes and waits for them.
func (c *devCluster) stopNodes() {
	for _, n := range c.nodes {
		if n.leash != nil {
			_ = n.leash.Close() // the server stops; it is fine if it has already
		}
	}
	c.servers.Wait()
}
