package chaos

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfast/holdfast/test/harness"
	"github.com/holdfast/holdfast/test/link"
)

// cluster is the nodes, the store, and every link between them.
type cluster struct {
	t     *testing.T
	store *store
	nodes []*node
	peers dialers

	root, unsealKey string
}

// node is a node of Holdfast with the links that lead to it and from it to the store.
type node struct {
	*harness.Node
	clients *link.Link   // clients to this node
	peers   *link.Link   // other nodes to this one
	store   []*link.Link // this node to each member of the store
	trouble trouble      // that its clients may notice

	// Of the nemesis alone:
	wanted    bool          // the server is to run
	condemned bool          // its process was ended, or told to end
	starting  bool          // it was started again and has not served since
	clock     string        // file
	forward   time.Duration // how far the clock was put forward so far

	mu       sync.Mutex
	launched int  // guarded by mu; how often the server was started again
	unsealed bool // guarded by mu; since then
}

// newCluster starts a store and nodes on it. config is more of the nodes' configuration.
func newCluster(t *testing.T, k kind, config string) *cluster {
	t.Helper()
	c := &cluster{t: t, store: k.start(t)}
	var members []*harness.Node
	for i := range size {
		n := c.newNode(i, config)
		c.nodes, members = append(c.nodes, n), append(members, n.Node)
	}
	formed := harness.Form(t, members...)
	c.root, c.unsealKey = formed.RootToken, formed.UnsealKey
	formed.Mount("one", "1")
	formed.Mount("two", "2")
	return c
}

func (c *cluster) newNode(i int, config string) *node {
	name := fmt.Sprintf("n%d", i+1)
	n := &node{wanted: true, unsealed: true}
	env := n.newClock(c.t.TempDir())
	var addresses []string
	for _, address := range c.store.addresses {
		l := c.newLink(address, nil)
		n.store, addresses = append(n.store, l), append(addresses, l.Addr())
	}
	n.Node = harness.NewNodeOf(c.t, harness.Spec{
		Name: name, Storage: c.store.stanza(i, addresses), Env: []string{env},
		// A client whose request hangs would do nothing else for the default half minute.
		Config: fmt.Sprintf("default_max_request_duration = %q\n%s\n", requestDuration, config),
		Advertise: func(api, cluster string) (string, string) {
			n.clients, n.peers = c.newLink(api, nil), c.newLink(cluster, c.peers.who)
			return n.clients.Addr(), n.peers.Addr()
		},
	})
	c.peers.add(name, n.Process().PID())
	return n
}

func (c *cluster) newLink(target string, who func(net.Addr) string) *link.Link {
	l, err := link.New(target, who)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(l.Close)
	return l
}

// keepUnsealed unseals the nodes when they were restarted, until ctx ends.
func (c *cluster) keepUnsealed(ctx context.Context) {
	var keepers sync.WaitGroup
	defer keepers.Wait()
	for _, n := range c.nodes {
		keepers.Go(func() {
			poll(ctx, 200*time.Millisecond, func() bool {
				c.unseal(ctx, n)
				return false
			})
		})
	}
}

func (c *cluster) unseal(ctx context.Context, n *node) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	n.mu.Lock()
	launched := n.launched
	n.mu.Unlock()
	var status struct{ Initialized, Sealed bool }
	if n.ask(ctx, "GET", "sys/seal-status", "", &status) != nil || !status.Initialized {
		return
	}
	if status.Sealed {
		_ = n.ask(ctx, "PUT", "sys/unseal", fmt.Sprintf(`{"key":%q}`, c.unsealKey), &status) // the next round tries again
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.unsealed = !status.Sealed && n.launched == launched
}

// served reports whether the process that runs now was unsealed.
func (n *node) served() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.unsealed
}

// relaunch starts a node's server again and waits for nothing.
func (c *cluster) relaunch(n *node) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.unsealed = false
	n.launched++
	err := n.Launch()
	if err == nil {
		c.peers.add(n.Name, n.Process().PID())
	}
	return err
}

// ask sends a request to the node itself, not through its link, and decodes the answer.
func (n *node) ask(ctx context.Context, method, path, body string, answer any) error {
	req, err := http.NewRequestWithContext(ctx, method, "http://"+n.Address+"/v1/"+path, strings.NewReader(body))
	if err != nil {
		return err
	}
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: status %d", path, resp.StatusCode)
	}
	return json.NewDecoder(resp.Body).Decode(answer)
}

// active returns the index of the node that says that it is active, in the newest epoch if
// several do; that of the first node if none does.
func (c *cluster) active(ctx context.Context) int {
	ctx, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
	defer cancel()
	type leader struct {
		IsSelf bool   `json:"is_self"`
		Epoch  uint64 `json:"epoch"`
	}
	answers := make([]leader, len(c.nodes))
	var asking sync.WaitGroup
	for i, n := range c.nodes {
		asking.Go(func() {
			if n.ask(ctx, "GET", "sys/leader", "", &answers[i]) != nil {
				answers[i] = leader{}
			}
		})
	}
	asking.Wait()
	best := 0
	for i, l := range answers {
		if l.IsSelf && (!answers[best].IsSelf || l.Epoch > answers[best].Epoch) {
			best = i
		}
	}
	return best
}

// members returns how many nodes the active one knows of; 0 if none is active.
func (c *cluster) members(ctx context.Context) int {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	secret, err := c.nodes[c.active(ctx)].Client(c.root).Sys().HAStatusWithContext(ctx)
	if err != nil {
		return 0
	}
	return len(secret.Nodes)
}

// poll calls done at intervals until it returns true, or ctx ends.
func poll(ctx context.Context, interval time.Duration, done func() bool) bool {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return false
		}
	}
	return true
}

// trouble is when clients of a node may lose connections, or wait in vain.
type trouble struct {
	mu    sync.Mutex
	now   int       // guarded by mu; faults at present
	ended time.Time // guarded by mu; the last one
}

// aftermath is how long after a fault a connection that it broke may turn up.
const aftermath = 3 * time.Second

func (t *trouble) begin() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.now++
}

func (t *trouble) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.now--
	t.ended = time.Now()
}

// since reports whether there was any at or after that moment.
func (t *trouble) since(moment time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.now > 0 || t.ended.Add(aftermath).After(moment)
}
