package e2e

import (
	"context"
	"encoding/base64"
	"fmt"
	"testing"
	"time"

	consul "github.com/hashicorp/consul/api"
	etcd "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/holdfast/holdfast/host/barrier"
	"github.com/holdfast/holdfast/host/ha"
	"github.com/holdfast/holdfast/host/seal"
	"github.com/holdfast/holdfast/test/servers"
)

// record is a key as the store has it. Changed is the store's own count of changes: what
// one transaction writes gets one number.
type record struct {
	value   []byte
	changed uint64
}

// states waits for the next state of the store and returns everything below hf/ in it.
type states func(ctx context.Context) (map[string]record, error)

// audit watches the store itself. In every state the term record must be at least as new
// as the newest data, and its epoch must never go back.
type audit struct {
	next     states
	barrier  *barrier.Barrier
	seen     int
	epoch    uint64
	problems []string
}

func newAudit(t *testing.T, next states, unsealKey string) *audit {
	t.Helper()
	share, err := base64.StdEncoding.DecodeString(unsealKey)
	if err != nil {
		t.Fatal(err)
	}
	rootKey, err := seal.Combine([][]byte{share}, 1)
	if err != nil {
		t.Fatal(err)
	}
	first, err := next(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	keyring, err := barrier.OpenKeyring(rootKey, "hf/keyring", first["hf/keyring"].value)
	if err != nil {
		t.Fatal(err)
	}
	return &audit{next: next, barrier: barrier.New(keyring)}
}

func (a *audit) run(ctx context.Context) {
	for {
		state, err := a.next(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			a.problems = append(a.problems, err.Error())
			return
		}
		if err := a.check(state); err != nil {
			a.problems = append(a.problems, err.Error())
		}
	}
}

func (a *audit) check(state map[string]record) error {
	a.seen++
	term := state[ha.RecordKey]
	for key, r := range state {
		if r.changed > term.changed {
			return fmt.Errorf("%s changed at %d, after the term record at %d", key, r.changed, term.changed)
		}
	}
	plain, err := a.barrier.Open(ha.RecordKey, term.value)
	if err != nil {
		return err
	}
	record, err := ha.DecodeRecord(plain)
	if err != nil {
		return err
	}
	if record.Epoch < a.epoch {
		return fmt.Errorf("epoch %d after epoch %d", record.Epoch, a.epoch)
	}
	a.epoch = record.Epoch
	return nil
}

func (a *audit) report(t *testing.T) {
	t.Helper()
	t.Logf("audited %d states of the store, up to epoch %d", a.seen, a.epoch)
	for _, p := range a.problems {
		t.Errorf("audit of the store: %s", p)
	}
	if a.seen < 50 || a.epoch < 2 {
		t.Errorf("the audit saw %d states, up to epoch %d: too little to mean anything", a.seen, a.epoch)
	}
}

// consulStates follows Consul by blocking queries, each of which returns one state.
func consulStates(t *testing.T, s store) states {
	client, err := consul.NewClient(&consul.Config{Address: s.(*servers.ConsulServer).Address})
	if err != nil {
		t.Fatal(err)
	}
	const home = "holdfast/" // the default path of the storage stanza
	query := &consul.QueryOptions{RequireConsistent: true, WaitTime: time.Second}
	return func(ctx context.Context) (map[string]record, error) {
		pairs, meta, err := client.KV().List(home+"hf/", query.WithContext(ctx))
		if err != nil {
			return nil, err
		}
		query.WaitIndex = meta.LastIndex
		state := make(map[string]record, len(pairs))
		for _, p := range pairs {
			state[p.Key[len(home):]] = record{value: p.Value, changed: p.ModifyIndex}
		}
		return state, nil
	}
}

// etcdStates reads all of etcd whenever it has changed: a range is of one revision.
func etcdStates(t *testing.T, s store) states {
	client, err := etcd.New(etcd.Config{Endpoints: []string{s.(etcdStore).Address}, DialTimeout: 5 * time.Second, Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	const home = "holdfast/" // the default path of the storage stanza
	var last int64
	return func(ctx context.Context) (map[string]record, error) {
		for {
			resp, err := client.Get(ctx, home+"hf/", etcd.WithPrefix())
			if err != nil {
				return nil, err
			}
			if resp.Header.Revision == last {
				select {
				case <-time.After(time.Millisecond): // the node commits all the time
				case <-ctx.Done():
					return nil, ctx.Err()
				}
				continue
			}
			last = resp.Header.Revision
			state := make(map[string]record, len(resp.Kvs))
			for _, kv := range resp.Kvs {
				state[string(kv.Key)[len(home):]] = record{value: kv.Value, changed: uint64(kv.ModRevision)}
			}
			return state, nil
		}
	}
}
