package servers

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/hashicorp/consul/api"
)

// ManagementToken may do everything on a server that was started with CheckTokens.
const ManagementToken = "6d616e61-6765-6d65-6e74-000000000000"

// CheckTokens is an extra of Consul: who has no token may do nothing.
const CheckTokens = `acl {
	enabled = true
	default_policy = "deny"
	tokens { initial_management = "` + ManagementToken + `" }
}`

// adminTimeout bounds one request of an administrator.
const adminTimeout = 30 * time.Second

// Policy creates the ACL policy, or gives it other rules: tokens that have it change at once.
func (s *ConsulServer) Policy(name, rules string) {
	s.t.Helper()
	s.administer("set the policy "+name, func(ctx context.Context, c *api.Client) error {
		query, write := new(api.QueryOptions).WithContext(ctx), new(api.WriteOptions).WithContext(ctx)
		policy, _, err := c.ACL().PolicyReadByName(name, query)
		if err != nil {
			return err
		}
		if policy == nil {
			_, _, err = c.ACL().PolicyCreate(&api.ACLPolicy{Name: name, Rules: rules}, write)
			return err
		}
		policy.Rules = rules
		_, _, err = c.ACL().PolicyUpdate(policy, write)
		return err
	})
}

// Token creates a token that has the policy, and returns its secret.
func (s *ConsulServer) Token(policy string) (secret string) {
	s.t.Helper()
	s.administer("create a token", func(ctx context.Context, c *api.Client) error {
		token, _, err := c.ACL().TokenCreate(&api.ACLToken{Policies: []*api.ACLLink{{Name: policy}}}, new(api.WriteOptions).WithContext(ctx))
		if err == nil {
			secret = token.SecretID
		}
		return err
	})
	return secret
}

// Snapshot saves the state of the store to a file for Restore.
func (s *ConsulServer) Snapshot() (path string) {
	s.t.Helper()
	path = filepath.Join(s.t.TempDir(), "snapshot")
	s.administer("save a snapshot", func(ctx context.Context, c *api.Client) error {
		state, _, err := c.Snapshot().Save(new(api.QueryOptions).WithContext(ctx))
		if err != nil {
			return err
		}
		defer state.Close()
		file, err := os.Create(path)
		if err != nil {
			return err
		}
		defer file.Close()
		_, err = file.ReadFrom(state)
		return err
	})
	return path
}

// Restore takes the running cluster back to a snapshot. Consul goes on counting from where
// it was: no index is given a second time.
func (s *ConsulServer) Restore(snapshot string) {
	s.t.Helper()
	s.administer("restore a snapshot", func(ctx context.Context, c *api.Client) error {
		file, err := os.Open(snapshot)
		if err != nil {
			return err
		}
		defer file.Close()
		return c.Snapshot().Restore(new(api.WriteOptions).WithContext(ctx), file)
	})
}

// RestoreAnew kills the server, a single one, and puts another one with the snapshot's state
// in its place, which gives the indexes after the snapshot a second time.
func (s *ConsulServer) RestoreAnew(snapshot string) {
	s.t.Helper()
	s.Kill()
	if err := os.RemoveAll(s.dataDir()); err != nil {
		s.t.Fatal(err)
	}
	s.Restart()
	s.Restore(snapshot)
}

// administer calls f with the management token until it succeeds: a server that has just
// elected itself is still setting up its tokens.
func (s *ConsulServer) administer(what string, f func(context.Context, *api.Client) error) {
	s.t.Helper()
	client, err := api.NewClient(&api.Config{Address: s.Address, Token: ManagementToken})
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(s.t.Context(), adminTimeout)
	defer cancel()
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		err := f(ctx, client)
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			s.t.Fatal(fmt.Errorf("consul: %s: %w", what, err))
		case <-tick.C:
		}
	}
}
