package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/holdfast/holdfast/test/harness"
)

// valueLimits are the largest values that the plugins declare, in bytes, as documented.
var valueLimits = map[string]int{ //nolint:gochecknoglobals // a table
	"consul": 256 << 10, "etcd": 1 << 20, "zookeeper": 786429,
}

// TestOverTheLimitOfTheStore sends what the store does not take, through the active node and
// through a standby: it is refused for good, with the limit named, and the next request works.
func TestOverTheLimitOfTheStore(t *testing.T) {
	onEveryStore(t, func(t *testing.T, b backend) {
		_, stanza := b.start(t)
		c := harness.NewCluster(t, 3, stanza+steady)
		c.Mount("kv", "1")
		limit := valueLimits[b.name]
		epoch := epochOf(t, c.Active())
		for _, n := range []*harness.Node{c.Active(), c.Standbys()[0]} {
			for _, r := range []badRequest{
				// Encryption makes a value larger than its JSON.
				{name: "value", method: "POST", target: "/v1/kv/large", body: jsonOfSize(limit), status: 413, says: fmt.Sprint(limit)},
				{name: "key", method: "POST", target: "/v1/kv/" + strings.Repeat("k", 1024), body: `{"v":1}`, status: 400, says: "1024"},
				{name: "body", method: "POST", target: "/v1/kv/large", body: jsonOfSize(oneMiB + 1), status: 413, says: "1048576 bytes"},
			} {
				t.Run(r.name, func(t *testing.T) { r.check(t, n.Address, c.RootToken) })
			}
			token := "X-Vault-Token: " + c.RootToken
			if got := rawRequest(t, n.Address, http.MethodGet, "/v1/kv/large", "", token); got.status != http.StatusNotFound {
				t.Errorf("read what was refused: status %d, want 404", got.status)
			}
			largest := jsonOfSize(limit - 1024)
			if got := rawRequest(t, n.Address, http.MethodPost, "/v1/kv/largest", largest, token); got.status != http.StatusNoContent {
				t.Errorf("a value just below the limit: status %d: %s", got.status, got.body)
			}
			if got := rawRequest(t, n.Address, http.MethodGet, "/v1/kv/largest", "", token); !strings.Contains(got.body, strings.Repeat("x", limit-1024-8)) {
				t.Errorf("a value just below the limit does not come back: status %d, %d bytes", got.status, len(got.body))
			}
		}
		if got := epochOf(t, c.Active()); got != epoch {
			t.Errorf("epoch %d is now %d: a refused write changed the active node", epoch, got)
		}
	})
}
