package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/hashicorp/vault/api"

	"github.com/holdfast/holdfast/test/harness"
	"github.com/holdfast/holdfast/test/servers"
)

const casWriters = 64

// contest is a number of writers who write one key with check-and-set, each value
// naming its writer.
type contest struct {
	cluster  *harness.Cluster
	key      string
	versions int

	mu      sync.Mutex
	winners map[int][]string // guarded by mu; by version, who was told to have written it
	unknown map[int][]string // guarded by mu; by version, who was told that it is not known (504)
	errs    []error          // guarded by mu
}

func newContest(t *testing.T, c *harness.Cluster, key string, versions int) *contest {
	t.Helper()
	kv := c.Active().Client(c.RootToken).KVv2("kv")
	if err := kv.PutMetadata(t.Context(), key, api.KVMetadataPutInput{MaxVersions: versions}); err != nil {
		t.Fatal(err)
	}
	return &contest{cluster: c, key: key, versions: versions, winners: map[int][]string{}, unknown: map[int][]string{}}
}

// writer returns writer i's name and client.
func (c *contest) writer(i int) (name string, client *api.Client) {
	n := c.cluster.Nodes[i%len(c.cluster.Nodes)]
	return fmt.Sprintf("writer %d on %s", i, n.Name), n.Client(c.cluster.RootToken)
}

// write tries to write version until it is known, or will never be, whether that succeeded.
func (c *contest) write(ctx context.Context, client *api.Client, writer string, version int) {
	for {
		_, err := client.KVv2("kv").Put(ctx, c.key, map[string]any{"writer": writer}, api.WithCheckAndSet(version-1))
		if !hasStatus(err, http.StatusServiceUnavailable) { // which says that it has not run
			c.note(writer, version, err)
			return
		}
	}
}

func (c *contest) note(writer string, version int, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case err == nil:
		c.winners[version] = append(c.winners[version], writer)
	case hasStatus(err, http.StatusGatewayTimeout):
		c.unknown[version] = append(c.unknown[version], writer)
	case !isRefusal(err, "check-and-set parameter did not match"):
		c.errs = append(c.errs, fmt.Errorf("%s, version %d: %w", writer, version, err))
	}
}

func (c *contest) won() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.winners)
}

// check checks that no version was won twice, and that what every node shows is of the
// writer who won, or of one who was not told.
func (c *contest) check(t *testing.T) {
	t.Helper()
	for _, err := range c.errs {
		t.Errorf("a write failed in another way than by the check: %v", err)
	}
	byNode := map[string]int{}
	for version := 1; version <= c.versions; version++ {
		allowed := c.winners[version]
		if len(allowed) > 1 {
			t.Errorf("version %d was won by %q, want one winner", version, allowed)
		}
		if len(allowed) == 0 {
			allowed = c.unknown[version]
		}
		for _, n := range c.cluster.Nodes {
			got, err := n.Client(c.cluster.RootToken).KVv2("kv").GetVersion(t.Context(), c.key, version)
			if err != nil {
				t.Errorf("version %d through %s: %v", version, n.Name, err)
			} else if !slices.Contains(allowed, fmt.Sprint(got.Data["writer"])) {
				t.Errorf("version %d through %s is of %v; it can only be of %q", version, n.Name, got.Data["writer"], allowed)
			}
		}
		if len(allowed) > 0 {
			_, node, _ := strings.Cut(allowed[0], " on ")
			byNode[node]++
		}
	}
	m, err := c.cluster.Active().Client(c.cluster.RootToken).KVv2("kv").GetMetadata(t.Context(), c.key)
	if err != nil || m.CurrentVersion != c.versions {
		t.Errorf("current version: got %+v, %v, want %d", m, err, c.versions)
	}
	t.Logf("%d writers, %d versions, won through %v", casWriters, c.versions, byNode)
}

// TestCheckAndSet: of many concurrent check-and-set writers of one key, through all nodes,
// exactly one wins each version, and it is its value that is kept.
func TestCheckAndSet(t *testing.T) {
	c := harness.NewCluster(t, 3, consulStanza(servers.Consul(t))+patient)
	c.Mount("kv", "2")
	t.Run("all try each version at once", func(t *testing.T) {
		contest := newContest(t, c, "in-step", 20)
		for version := 1; version <= contest.versions; version++ {
			var writers sync.WaitGroup
			for i := range casWriters {
				name, client := contest.writer(i)
				writers.Go(func() { contest.write(t.Context(), client, name, version) })
			}
			writers.Wait()
			if got := len(contest.winners[version]); got != 1 {
				t.Errorf("version %d has %d winners, want 1", version, got)
			}
		}
		contest.check(t)
	})
	t.Run("while the active node steps down", func(t *testing.T) {
		contest := newContest(t, c, "handed-over", 100)
		ctx, cancel := context.WithCancel(t.Context())
		var writers sync.WaitGroup
		defer writers.Wait()
		defer cancel()
		const gate = 60 // no version from here on is written before the last step-down, so that each one meets writers
		steppedDown := make(chan struct{})
		for i := range casWriters {
			name, client := contest.writer(i)
			writers.Go(func() {
				// Who lost a version knows that another one has won it.
				for version := 1; version <= contest.versions; version++ {
					if version == gate {
						select {
						case <-steppedDown:
						case <-ctx.Done():
							return
						}
					}
					contest.write(ctx, client, name, version)
				}
			})
		}
		for _, sofar := range []int{10, 25, 40} {
			harness.Eventually(t, fmt.Sprintf("%d versions are written", sofar), func() error {
				if won := contest.won(); won < sofar {
					return fmt.Errorf("%d are", won)
				}
				return nil
			})
			if err := c.Active().Client(c.RootToken).Sys().StepDown(); err != nil {
				t.Errorf("step down: %v", err)
			}
		}
		close(steppedDown)
		writers.Wait()
		contest.check(t)
	})
}

// TestConcurrentMounts: of concurrent requests that enable paths which exclude each
// other, exactly one succeeds, whichever node they reach.
func TestConcurrentMounts(t *testing.T) {
	c := harness.NewCluster(t, 3, consulStanza(servers.Consul(t))+patient)
	const rounds, requests = 10, 24
	for round := range rounds {
		top := "m" + strconv.Itoa(round)
		var group sync.WaitGroup
		errs := make([]error, requests)
		paths := make([]string, requests)
		for i := range requests {
			client := c.Nodes[i%len(c.Nodes)].Client(c.RootToken)
			paths[i] = top
			if i%2 == 1 {
				paths[i] += "/below"
			}
			group.Go(func() {
				errs[i] = client.Sys().Mount(paths[i], &api.MountInput{Type: "kv-v2", Description: strconv.Itoa(i)})
			})
		}
		group.Wait()
		winner := -1
		for i, err := range errs {
			switch {
			case err == nil && winner < 0:
				winner = i
			case err == nil:
				t.Errorf("round %d: both %s and %s were enabled", round, paths[winner], paths[i])
			case !isRefusal(err, "path is already in use"):
				t.Errorf("round %d: enabling %s failed in another way than by the conflict: %v", round, paths[i], err)
			}
		}
		if winner < 0 {
			t.Fatalf("round %d: nobody could enable a mount", round)
		}
		checkOnlyMount(t, c, top, paths[winner]+"/", strconv.Itoa(winner))
	}
}

// checkOnlyMount checks that every node shows, at and below top, the winner's mount only.
func checkOnlyMount(t *testing.T, c *harness.Cluster, top, path, description string) {
	t.Helper()
	for _, n := range c.Nodes {
		mounts, err := n.Client(c.RootToken).Sys().ListMounts()
		if err != nil {
			t.Fatalf("list mounts through %s: %v", n.Name, err)
		}
		for at, m := range mounts {
			if strings.HasPrefix(at, top+"/") && (at != path || m.Description != description) {
				t.Errorf("%s shows a mount at %s of request %s; want only %s of request %s", n.Name, at, m.Description, path, description)
			}
		}
		if mounts[path] == nil {
			t.Errorf("%s shows no mount at %s", n.Name, path)
		}
	}
}

// isRefusal reports whether err is a 400 with that text.
func isRefusal(err error, text string) bool {
	return hasStatus(err, http.StatusBadRequest) && strings.Contains(err.Error(), text)
}

// hasStatus reports whether err is an answer with that status.
func hasStatus(err error, status int) bool {
	var response *api.ResponseError
	return errors.As(err, &response) && response.StatusCode == status
}
