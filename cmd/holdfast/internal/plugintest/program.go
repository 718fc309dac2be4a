package plugintest

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/holdfast/holdfast/host/plugin"
	"github.com/holdfast/holdfast/sdk/storage"
	"github.com/holdfast/holdfast/sdk/storagetest"
	"github.com/holdfast/holdfast/sdk/wire"
)

var _ storagetest.Program = (*program)(nil)

// sharers is how many processes the clients of the suite are spread over, so that what one process
// remembers shows in another.
const sharers = 3

// program is the plugin under test.
type program struct {
	path   string // absolute
	sha256 string
	spec   plugin.Spec
	others []map[string]any // options of -elsewhere and -link
	canary string

	description wire.Description // set by open
	keeps       bool             // set by open

	mu        sync.Mutex  // guards the following
	processes []*instance // that the clients of the suite are attached to
	next      int
}

func newProgram(o *options, canary string) (*program, error) {
	path, err := filepath.Abs(o.binary)
	if err != nil {
		return nil, fmt.Errorf("find the plugin: %w", err)
	}
	sum, err := fileSHA256(path)
	if err != nil {
		return nil, fmt.Errorf("read the plugin: %w", err)
	}
	others := []map[string]any{o.elsewhere}
	if o.link != nil {
		others = append(others, o.link.more)
	}
	return &program{
		path:   path,
		others: others,
		sha256: sum,
		canary: canary,
		spec: plugin.Spec{
			Command: path,
			SHA256:  sum,
			Options: o.config,
			Env:     o.environment,
			// Longer than any pause that a case makes of a process on purpose, however busy
			// the machine is: a plugin that is replaced loses what it keeps in its memory.
			Patience: plugin.Patience{Stopped: 5 * time.Second, Silent: 20 * time.Second},
		},
	}, nil
}

func fileSHA256(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer func() { _ = file.Close() }() // opened for reading
	hash := sha256.New()
	if _, err := io.Copy(hash, file); err != nil {
		return "", err
	}
	return hex.EncodeToString(hash.Sum(nil)), nil
}

// open starts the processes of the clients, and finds out what the plugin is and where its
// data lives.
func (p *program) open(ctx context.Context) error {
	if err := p.findType(ctx); err != nil {
		return err
	}
	first, err := p.start(ctx)
	if err != nil {
		return err
	}
	p.processes = append(p.processes, first)
	if p.description, err = describe(ctx, first.Info().Address, p.spec.Type); err != nil {
		return err
	}
	second, err := p.start(ctx)
	if err != nil {
		return err
	}
	p.processes = append(p.processes, second)
	if p.keeps, err = shared(ctx, first, second); err != nil {
		return err
	}
	if !p.keeps { // each process has data of its own: the clients share one
		p.processes = p.processes[:1]
		return second.Close()
	}
	for len(p.processes) < sharers {
		another, err := p.start(ctx)
		if err != nil {
			return err
		}
		p.processes = append(p.processes, another)
	}
	return nil
}

// findType sets the storage type: it is in the file name, or the program tells.
func (p *program) findType(ctx context.Context) error {
	if name, ok := strings.CutPrefix(filepath.Base(p.path), plugin.ProgramPrefix); ok {
		p.spec.Type = name
		return nil
	}
	out, err := p.ByHand(ctx, "describe")
	if err != nil {
		return fmt.Errorf("ask %s for its storage type: %w", p.path, err)
	}
	var described struct {
		Name string `json:"name"`
	}
	if err := json.Unmarshal(out, &described); err != nil || described.Name == "" {
		return fmt.Errorf("ask %s for its storage type: describe does not print a JSON object with a name (%w)", p.path, err)
	}
	p.spec.Type = described.Name
	return nil
}

// shared reports whether what one process wrote is there for another.
func shared(ctx context.Context, a, b *instance) (bool, error) {
	key := "storagetest-probe-" + strings.ToLower(rand.Text())
	if err := a.Write(ctx, []storage.Op{storage.Put(key, []byte(key))}); err != nil {
		return false, fmt.Errorf("find out where the data lives: %w", err)
	}
	_, err := b.Get(ctx, key)
	if cleanErr := a.Write(ctx, []storage.Op{storage.Delete(key)}); cleanErr != nil {
		return false, fmt.Errorf("find out where the data lives: %w", cleanErr)
	}
	if errors.Is(err, storage.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

func (p *program) close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	var errs []error
	for _, one := range p.processes {
		errs = append(errs, one.Close())
	}
	return errors.Join(errs...)
}

// store is where the data lives.
func (p *program) store() string {
	if p.keeps {
		return storeShared
	}
	return storeProcess
}

// client returns a new client, in one process after the other.
func (p *program) client(ctx context.Context, options map[string]any) (storage.Backend, storage.Capabilities, error) {
	p.mu.Lock()
	process := p.processes[p.next%len(p.processes)]
	p.next++
	p.mu.Unlock()
	b, err := process.attach(ctx, options)
	if err != nil {
		return nil, storage.Capabilities{}, err
	}
	return b, b.Capabilities(), nil
}

// secret reports whether the value of an option is nobody's business.
func (p *program) secret(option string) bool {
	for _, known := range p.description.Options {
		if known.Name == option {
			return known.Secret
		}
	}
	return true // nobody knows
}

// Secrets implements storagetest.Program.
func (p *program) Secrets() []string {
	const shortest = 6 // less is found anywhere
	secrets := []string{p.canary}
	for _, options := range append([]map[string]any{p.spec.Options}, p.others...) {
		for name, value := range options {
			if text, ok := value.(string); ok && p.secret(name) && len(text) >= shortest {
				secrets = append(secrets, text)
			}
		}
	}
	return secrets
}

// KeepsData implements storagetest.Program.
func (p *program) KeepsData() bool { return p.keeps }

// Start implements storagetest.Program.
func (p *program) Start(ctx context.Context) (storagetest.Instance, error) { return p.start(ctx) }

// Configure implements storagetest.Program. It asks the plugin itself: the host would refuse an
// unknown option in its place.
func (p *program) Configure(ctx context.Context, option, value string) error {
	options := map[string]any{option: value}
	maps.Copy(options, p.spec.Options)
	stanza, err := json.Marshal(options)
	if err != nil {
		return fmt.Errorf("encode options: %w", err)
	}
	conn, err := dial(p.processes[0].Info().Address)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }() // fails only if it is closed
	b, err := wire.NewClient(conn, p.spec.Type).Configure(ctx, stanza)
	if err != nil {
		return err
	}
	return b.Close()
}

// ByHand implements storagetest.Program.
func (p *program) ByHand(ctx context.Context, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, p.path, args...)
	cmd.Env = []string{} // not nil: that would be ours
	cmd.WaitDelay = time.Second
	return cmd.Output()
}

// Describe implements storagetest.Program.
func (p *program) Describe(ctx context.Context) (storagetest.Description, error) {
	d, err := describe(ctx, p.processes[0].Info().Address, p.spec.Type)
	return storagetest.Description{Name: d.Name, Version: d.Version, Services: d.Services}, err
}

// describe asks the plugin at address over a connection of its own.
func describe(ctx context.Context, address, name string) (wire.Description, error) {
	conn, err := dial(address)
	if err != nil {
		return wire.Description{}, err
	}
	defer func() { _ = conn.Close() }() // fails only if it is closed
	return wire.NewClient(conn, name).Describe(ctx)
}

// dial connects to the plugin at address when the first call is made.
func dial(address string) (*grpc.ClientConn, error) {
	options := append(wire.DialOptions(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	conn, err := grpc.NewClient(address, options...)
	if err != nil {
		return nil, fmt.Errorf("connect to the plugin: %w", err)
	}
	return conn, nil
}
