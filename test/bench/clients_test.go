package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	consul "github.com/hashicorp/consul/api"

	"github.com/holdfast/holdfast/test/harness"
	"github.com/holdfast/holdfast/test/servers"
)

// cluster is Holdfast on a real Consul, with KV v1 at kv/.
func cluster(b *testing.B, nodes int) (*harness.Cluster, *servers.ConsulServer) {
	b.Helper()
	server := servers.Consul(b)
	c := harness.NewCluster(b, nodes, fmt.Sprintf("storage \"consul\" {\n  address = %q\n}", server.Address))
	c.Mount("kv", "1")
	return c, server
}

// pooled keeps a connection open for each caller.
func pooled(b *testing.B) *http.Transport {
	t := &http.Transport{MaxIdleConnsPerHost: callers}
	b.Cleanup(t.CloseIdleConnections)
	return t
}

// holdfastClient calls one node.
type holdfastClient struct {
	http   http.Client
	prefix string
	token  string
	body   []byte
}

func newHoldfastClient(b *testing.B, n *harness.Node, token string) *holdfastClient {
	b.Helper()
	body, err := json.Marshal(map[string]string{"value": strings.Repeat("v", valueSize)})
	if err != nil {
		b.Fatal(err)
	}
	return &holdfastClient{
		http:   http.Client{Transport: pooled(b)},
		prefix: "http://" + n.Address + "/v1/kv/bench/", token: token, body: body,
	}
}

func (c *holdfastClient) put(ctx context.Context, n int) error {
	return c.do(ctx, http.MethodPut, n, bytes.NewReader(c.body))
}

func (c *holdfastClient) get(ctx context.Context, n int) error {
	return c.do(ctx, http.MethodGet, n, http.NoBody)
}

func (c *holdfastClient) do(ctx context.Context, method string, n int, body io.Reader) error {
	req, err := http.NewRequestWithContext(ctx, method, fmt.Sprint(c.prefix, n%keys), body)
	if err != nil {
		return err
	}
	req.Header.Set("X-Vault-Token", c.token)
	resp, err := c.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode >= http.StatusBadRequest || method == http.MethodGet && len(answer) < valueSize {
		return fmt.Errorf("%s: %s", resp.Status, answer)
	}
	return nil
}

// consulClient calls the store itself.
type consulClient struct {
	kv    *consul.KV
	value []byte
}

func newConsulClient(b *testing.B, s *servers.ConsulServer) *consulClient {
	b.Helper()
	client, err := consul.NewClient(&consul.Config{Address: s.Address, Transport: pooled(b)})
	if err != nil {
		b.Fatal(err)
	}
	return &consulClient{kv: client.KV(), value: bytes.Repeat([]byte("v"), valueSize)}
}

func (c *consulClient) put(ctx context.Context, n int) error {
	pair := &consul.KVPair{Key: fmt.Sprint("bench/", n%keys), Value: c.value}
	_, err := c.kv.Put(pair, new(consul.WriteOptions).WithContext(ctx))
	return err
}

func (c *consulClient) get(ctx context.Context, n int) error {
	consistent := &consul.QueryOptions{RequireConsistent: true}
	pair, _, err := c.kv.Get(fmt.Sprint("bench/", n%keys), consistent.WithContext(ctx))
	if err == nil && (pair == nil || len(pair.Value) != valueSize) {
		err = fmt.Errorf("key %d is not as it was written", n%keys)
	}
	return err
}
