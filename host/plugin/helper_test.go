package plugin_test

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/hashicorp/go-hclog"
	goplugin "github.com/hashicorp/go-plugin"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc"

	"github.com/holdfast/holdfast/host/plugin"
	"github.com/holdfast/holdfast/sdk"
	"github.com/holdfast/holdfast/sdk/storage"
	"github.com/holdfast/holdfast/sdk/wire"
)

// The test binary is each of the programs of these tests. Linked under the name of a plugin
// it is the plugin that its first argument names; with hostArgument it is a host.
func TestMain(m *testing.M) {
	switch {
	case strings.HasPrefix(filepath.Base(os.Args[0]), "holdfast-storage-"):
		runPlugin(os.Args[1:])
	case len(os.Args) == 3 && os.Args[1] == hostArgument:
		runHost(os.Args[2])
	default:
		os.Exit(m.Run())
	}
}

const hostArgument = "be-a-host"

// limits are what the test plugins declare.
var limits = storage.Limits{MaxKeyBytes: 1024, MaxValueBytes: 1 << 20, MaxOps: 64, MaxBatchBytes: 2 << 20}

// runPlugin is the main of a test plugin.
func runPlugin(args []string) {
	mode := slices.Concat(args, []string{"good", ""})
	served := servedPlugin{name: "good", ha: true, protocol: wire.ProtocolVersion, limits: limits}
	switch mode[0] {
	case "good":
	case "sdk":
		sdk.Main(sdkPlugin)
		unix.Exit(0)
	case "author":
		sdk.Main(authorPlugin)
		unix.Exit(0)
	case "glued": // no line end, so the handshake is no line of its own
		fmt.Print("loading ...")
	case "once": // crashes at the start from the second run on; mode[1] is the file that remembers the first
		if _, err := os.Stat(mode[1]); err == nil {
			fmt.Fprintln(os.Stderr, "no such cluster: atlantis")
			os.Exit(3)
		}
		if err := os.WriteFile(mode[1], nil, 0o600); err != nil {
			panic(err)
		}
	case "crash":
		fmt.Fprintln(os.Stderr, "no such cluster: atlantis")
		os.Exit(3)
	case "panic":
		panic("index of the third kind")
	case "hang":
		fmt.Fprintln(os.Stderr, "still thinking")
		signal.Ignore(syscall.SIGTERM)
		select {}
	case "garbage":
		fmt.Println("hello from a library")
		unix.Exit(0)
	case "noisy":
		fmt.Println("hello from a library")
		fmt.Println("1|not a handshake")
		fmt.Fprintln(os.Stderr, strings.Repeat("x", 200<<10))
		fmt.Fprintf(os.Stderr, `{"@level":"warn","@message":"long entry","@timestamp":"2026-01-02T03:04:05Z","text":%q}`+"\n", strings.Repeat("y", 100<<10))
		fmt.Fprintln(os.Stderr, "plain words")
	case "tcp":
		fmt.Println("1|1|tcp|127.0.0.1:1|grpc")
		select {}
	case "mute":
		path := filepath.Join(os.Getenv("PLUGIN_UNIX_SOCKET_DIR"), "mute")
		if _, err := net.Listen("unix", path); err != nil {
			panic(err)
		}
		fmt.Printf("1|1|unix|%s|grpc\n", path)
		select {}
	case "netrpc":
		fmt.Println("1|1|unix|/nowhere|netrpc")
		select {}
	case "future":
		served.protocol = wire.ProtocolVersion + 1
	case "small":
		served.limits.MaxOps = 1
	case "less": // HA on the first run only; mode[1] is the file that remembers it
		_, err := os.Stat(mode[1])
		served.ha = err != nil
		if err := os.WriteFile(mode[1], nil, 0o600); err != nil {
			panic(err)
		}
	case "schema":
		served.options = []wire.Option{
			{Name: "address", Type: "string", Description: "where the store is", Required: true},
			{Name: "path", Type: "string", Default: "p/", Description: "where the data is", Required: true},
			{Name: "token", Type: "string", Description: "access token", Required: true, Secret: true},
		}
	case "liar":
		served.unsupported = true
	case "will", "no-will", "stuck-will":
		served.journal = &journal{stuck: mode[0] == "stuck-will"}
		served.watchesHost = mode[0] != "no-will"
	case "crash-configure":
		served.open = func(context.Context) error { panic("configured into a corner") }
	case "slow-configure":
		served.open = func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
	case "refuse":
		served.open = func(context.Context) error { return fmt.Errorf("%w: address: want a URL", wire.ErrInvalidConfig) }
	case "fork":
		child := exec.Command(os.Args[0], "hang")
		child.Stdout, child.Stderr = os.Stdout, os.Stderr // holds the host's pipes open
		if err := child.Start(); err != nil {
			panic(err)
		}
		served.child = child.Process.Pid
	default:
		panic("no such mode: " + mode[0])
	}
	served.serve()
	unix.Exit(0) // at once: os.Exit(0) takes a second under the race detector
}

// sdkPlugin is a plugin as authors write them.
var sdkPlugin = sdk.Plugin[struct{}, *memory]{
	Name:    "good",
	Version: "1.2.3",
	Open: func(context.Context, struct{}, sdk.Env) (*memory, storage.Capabilities, error) {
		return newMemory(servedPlugin{}, nil), storage.Capabilities{Limits: limits}, nil
	},
}

// servedPlugin is a plugin that answers, or fails in its own way. It does without package sdk,
// which would not let it.
type servedPlugin struct {
	goplugin.NetRPCUnsupportedPlugin

	name        string
	ha          bool
	protocol    uint
	limits      storage.Limits
	unsupported bool // Commit answers ErrUnsupported
	options     []wire.Option
	child       int
	open        func(context.Context) error
	journal     *journal // nil: none is kept
	watchesHost bool     // takes wills
}

func (p servedPlugin) serve() {
	go exitWithHost()
	goplugin.Serve(&goplugin.ServeConfig{
		HandshakeConfig: goplugin.HandshakeConfig{
			ProtocolVersion: p.protocol, MagicCookieKey: wire.CookieKey, MagicCookieValue: wire.CookieValue,
		},
		Plugins: goplugin.PluginSet{wire.SetName: p},
		Logger:  hclog.New(&hclog.LoggerOptions{Output: os.Stderr, JSONFormat: true, Level: hclog.Info}),
		GRPCServer: func(o []grpc.ServerOption) *grpc.Server {
			if p.journal != nil {
				o = append(o, grpc.UnaryInterceptor(p.journal.intercept))
			}
			return grpc.NewServer(append(o, wire.ServerOptions()...)...)
		},
	})
}

// exitWithHost ends the process when the host is dead, as the host's descriptor tells.
func exitWithHost() {
	fd, err := strconv.Atoi(os.Getenv(wire.HostPIDFDKey))
	if err != nil {
		panic(err)
	}
	for {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, -1)
		if n == 1 {
			unix.Exit(0)
		}
		if !errors.Is(err, unix.EINTR) {
			panic(err)
		}
	}
}

// GRPCServer implements goplugin.GRPCPlugin.
func (p servedPlugin) GRPCServer(_ *goplugin.GRPCBroker, s *grpc.Server) error {
	wire.Register(s, p.implementation())
	return nil
}

// GRPCClient implements goplugin.GRPCPlugin.
func (p servedPlugin) GRPCClient(context.Context, *goplugin.GRPCBroker, *grpc.ClientConn) (any, error) {
	return nil, errors.New("not a host")
}

func (p servedPlugin) implementation() wire.Implementation {
	return wire.Implementation{
		WatchesHost: p.watchesHost,
		Description: wire.Description{Name: p.name, Version: "1.2.3", SDK: "test", HA: p.ha, Options: p.options},
		Open: func(ctx context.Context, config []byte) (storage.Backend, storage.Capabilities, error) {
			if p.open != nil {
				if err := p.open(ctx); err != nil {
					return nil, storage.Capabilities{}, err
				}
			}
			return newMemory(p, config), storage.Capabilities{Limits: p.limits}, nil
		},
	}
}

// memory is a backend that forgets when its process ends. The keys below about/ describe
// the process; a write to "die" ends it in the middle of the call.
type memory struct {
	plugin servedPlugin

	mu    sync.Mutex // guards the following
	items map[string]storage.Item
	count int
}

func newMemory(p servedPlugin, config []byte) *memory {
	m := &memory{plugin: p, items: map[string]storage.Item{}}
	m.put("about/config", config)
	m.put("about/pid", fmt.Append(nil, os.Getpid()))
	m.put("about/child", fmt.Append(nil, p.child))
	m.put("about/env", []byte(strings.Join(os.Environ(), "\n")))
	m.put("about/args", []byte(strings.Join(os.Args, "\n")))
	return m
}

func (m *memory) put(key string, value []byte) storage.Version {
	m.count++
	version := storage.Version(strconv.Itoa(m.count))
	m.items[key] = storage.Item{Value: value, Version: version}
	return version
}

func (m *memory) Get(_ context.Context, key string) (storage.Item, error) {
	if size, ok := strings.CutPrefix(key, "value/of/size/"); ok { // whatever the limits are
		n, err := strconv.Atoi(size)
		return storage.Item{Value: make([]byte, n), Version: "1"}, err
	}
	if key == "about/journal" {
		return storage.Item{Value: []byte(m.plugin.journal.String()), Version: "1"}, nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	item, ok := m.items[key]
	if !ok {
		return storage.Item{}, storage.ErrNotFound
	}
	return item, nil
}

func (m *memory) List(_ context.Context, prefix, after string, _ int) ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var names []string
	for key := range m.items {
		if name, ok := strings.CutPrefix(key, prefix); ok && name > after && !strings.Contains(name, "/") {
			names = append(names, name)
		}
	}
	slices.SortFunc(names, cmp.Compare)
	return names, nil
}

func (m *memory) Write(_ context.Context, ops []storage.Op) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, op := range ops {
		if op.Key == "die" {
			unix.Exit(7)
		}
		m.put(op.Key, op.Value)
	}
	return nil
}

func (m *memory) Commit(ctx context.Context, guard storage.Guard, ops []storage.Op) (storage.Version, error) {
	if m.plugin.unsupported {
		return "", storage.ErrUnsupported
	}
	m.mu.Lock()
	at := m.items[guard.Key].Version
	m.mu.Unlock()
	if at != guard.Version {
		return "", storage.ErrConflict
	}
	if err := m.Write(ctx, ops); err != nil {
		return "", err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.put(guard.Key, guard.Value), nil
}

// Watch never sees a change: the tests watch only to have a call in flight.
func (m *memory) Watch(ctx context.Context, _ string, _ storage.Version) (storage.Item, error) {
	<-ctx.Done()
	return storage.Item{}, ctx.Err()
}

func (m *memory) Close() error { return nil }

// hostReport is what a host prints once its plugin runs.
type hostReport struct{ PID int }

// runHost opens the plugin in dir and waits to be killed.
func runHost(dir string) {
	s, err := plugin.Open(context.Background(), plugin.Spec{Type: "good", Directory: dir, Args: []string{"sdk"}}, hclog.NewNullLogger())
	if err != nil {
		panic(err)
	}
	if err := json.NewEncoder(os.Stdout).Encode(hostReport{PID: s.Info().PID}); err != nil {
		panic(err)
	}
	select {}
}
