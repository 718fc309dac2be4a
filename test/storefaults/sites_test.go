// Package storefaults does to each real store what goes wrong with stores, below the real
// plugin binaries, and checks what the contract promises then: errors of the right type that
// name the store, the place and the way out, and that all goes on when the cause is gone.
package storefaults

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	hostplugin "github.com/holdfast/holdfast/host/plugin"
	"github.com/holdfast/holdfast/sdk/storage"
	"github.com/holdfast/holdfast/test/harness"
	"github.com/holdfast/holdfast/test/servers"
)

func TestMain(m *testing.M) { harness.Main(m) }

// server is a store's server, a single one.
type server interface {
	Kill()
	Restart()
	Pause()
	Resume()
}

// site is a store, and how the plugin reaches it.
type site struct {
	store   string
	address string // as messages name it
	options map[string]any
	server
}

// patience is what options of the plugins give one request here: a frozen server is to be
// noticed soon, and a busy machine is not to be taken for one.
const patience = "4s"

func consulSite(s *servers.ConsulServer) site {
	return site{"consul", s.Address, map[string]any{"address": s.Address, "timeout": patience}, s}
}

func etcdSite(c *servers.EtcdMembers) site {
	s := c.Members[0]
	return site{"etcd", s.Address, map[string]any{"address": s.Address, "request_timeout": patience}, etcdServer{s}}
}

func zookeeperSite(s *servers.ZooKeeperServer) site {
	return site{"zookeeper", s.Address, map[string]any{"address": s.Address, "timeout": patience}, s}
}

// etcdServer hides the flags that Restart may take.
type etcdServer struct{ *servers.EtcdServer }

func (s etcdServer) Restart() { s.EtcdServer.Restart() }

// store is how to start a store with nothing special.
type store struct {
	name  string
	start func(t *testing.T) site
}

func stores() []store {
	return []store{
		{"consul", func(t *testing.T) site { t.Helper(); return consulSite(servers.Consul(t)) }},
		{"etcd", func(t *testing.T) site { t.Helper(); return etcdSite(servers.EtcdCluster(t, 1)) }},
		{"zookeeper", func(t *testing.T) site { t.Helper(); return zookeeperSite(servers.ZooKeeper(t)) }},
	}
}

// with returns the site with another value of an option.
func (s site) with(option string, value any) site {
	options := map[string]any{option: value}
	for name, v := range s.options {
		if name != option {
			options[name] = v
		}
	}
	s.options = options
	return s
}

// try starts the plugin and opens the store.
func (s site) try(t *testing.T) (*hostplugin.Storage, error) {
	t.Helper()
	opened, err := harness.OpenPlugin(t, s.store, s.options)
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() {
		if restarts := opened.Info().Restarts; restarts != 0 {
			t.Errorf("the plugin was restarted %d times: it died, or hung", restarts)
		}
	})
	return opened, nil
}

func (s site) open(t *testing.T) *hostplugin.Storage {
	t.Helper()
	opened, err := s.try(t)
	if err != nil {
		t.Fatal(err)
	}
	return opened
}

// callTime is longer than any plugin waits for its store.
const callTime = 20 * time.Second

// within returns the context of one call.
func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), callTime)
	t.Cleanup(cancel)
	return ctx
}

// clear reports what is missing in the message of an error that an operator reads: the store
// and where it is, the words that tell what to do, and no secret.
func (s site) clear(err error, words []string) error {
	for _, want := range append([]string{s.store, s.address}, words...) {
		if !strings.Contains(err.Error(), want) {
			return fmt.Errorf("the message does not say %q: %w", want, err)
		}
	}
	if strings.Contains(err.Error(), secret) {
		return fmt.Errorf("the message shows a secret: %w", err)
	}
	return nil
}

// secret is part of every password and token of these tests that is not to be seen.
const secret = "hunter2"

// typed reports whether err is one that the contract knows for a store that does not do
// what it is asked: nothing else may reach the host.
func typed(err error) bool {
	return slices.ContainsFunc([]error{storage.ErrUnavailable, context.DeadlineExceeded, context.Canceled}, func(known error) bool {
		return errors.Is(err, known)
	})
}
