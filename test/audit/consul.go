package audit

import (
	"context"
	"time"

	"github.com/hashicorp/consul/api"
)

const (
	// consulPause is the pause between two looks: one lists all there is.
	consulPause = 25 * time.Millisecond
	answerTime  = 3 * time.Second // of a server, before the next is asked
)

// Consul follows Consul by blocking queries, each of which returns one state; the servers are
// at addresses. Consul keeps no history: what happens between two looks is judged by what it
// left behind.
func Consul(addresses ...string) Follower {
	return func(ctx context.Context, a *Audit) error {
		var clients []*api.Client
		for _, address := range addresses {
			client, err := api.NewClient(&api.Config{Address: address})
			if err != nil {
				return err
			}
			clients = append(clients, client)
		}
		query := &api.QueryOptions{RequireConsistent: true, WaitTime: time.Second}
		tick := time.NewTicker(consulPause)
		defer tick.Stop()
		for next := 0; ; {
			asking, cancel := context.WithTimeout(ctx, answerTime)
			pairs, meta, err := clients[next%len(clients)].KV().List(home+"hf/", query.WithContext(asking))
			cancel()
			if err != nil {
				query.WaitIndex = 0
				next++
			} else {
				query.WaitIndex = meta.LastIndex
				a.state(consulState(pairs))
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
				return nil
			}
		}
	}
}

func consulState(pairs api.KVPairs) map[string]record {
	state := make(map[string]record, len(pairs))
	for _, p := range pairs {
		state[p.Key[len(home):]] = record{value: p.Value, changed: p.ModifyIndex}
	}
	return state
}
