package audit

import (
	"context"
	"fmt"
	"time"

	etcd "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

// Etcd follows every transaction from now on by a watch. The servers are at endpoints.
func Etcd(endpoints ...string) Follower {
	return func(ctx context.Context, a *Audit) error {
		client, err := etcd.New(etcd.Config{Endpoints: endpoints, DialTimeout: answerTime, Logger: zap.NewNop()})
		if err != nil {
			return err
		}
		defer client.Close()
		first, err := client.Get(ctx, home+"hf/", etcd.WithPrefix())
		if err != nil {
			return err
		}
		a.state(etcdState(first))
		w := &etcdWatch{client: client, audit: a, done: first.Header.Revision}
		for ctx.Err() == nil {
			if err := w.follow(ctx, 0); err != nil {
				return err
			}
		}
		return w.finish(ctx)
	}
}

// etcdWatch is how far the transactions were followed.
type etcdWatch struct {
	client *etcd.Client
	audit  *Audit
	done   int64 // revision
}

// follow takes in transactions until ctx ends, a server is lost, or the revision until is
// reached, if it is not 0.
func (w *etcdWatch) follow(ctx context.Context, until int64) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	// Events of one transaction are not told apart from others in time, but by their revision.
	for resp := range w.client.Watch(ctx, home+"hf/", etcd.WithPrefix(), etcd.WithRev(w.done+1)) {
		if resp.CompactRevision != 0 {
			return fmt.Errorf("etcd dropped revisions up to %d, and %d was seen last", resp.CompactRevision, w.done)
		}
		if resp.Err() != nil {
			return nil // a server went away: the watch is begun again
		}
		w.events(resp.Events)
		if until != 0 && w.done >= until {
			return nil
		}
	}
	return nil
}

// events takes in the events of whole transactions.
func (w *etcdWatch) events(events []*etcd.Event) {
	for len(events) > 0 {
		revision := events[0].Kv.ModRevision
		changes := map[string][]byte{}
		for len(events) > 0 && events[0].Kv.ModRevision == revision {
			value := events[0].Kv.Value
			switch {
			case events[0].Type == etcd.EventTypeDelete:
				value = nil
			case value == nil:
				value = []byte{}
			}
			changes[string(events[0].Kv.Key)[len(home):]] = value
			events = events[1:]
		}
		w.audit.transaction(fmt.Sprint("revision ", revision), changes)
		w.done = revision
	}
}

// finish takes in what has happened before now.
func (w *etcdWatch) finish(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	last, err := w.client.Get(ctx, home+"hf/term")
	if err != nil {
		return err
	}
	if len(last.Kvs) == 0 {
		return nil
	}
	for ctx.Err() == nil && w.done < last.Kvs[0].ModRevision {
		if err := w.follow(ctx, last.Kvs[0].ModRevision); err != nil {
			return err
		}
	}
	return ctx.Err()
}

func etcdState(resp *etcd.GetResponse) map[string]record {
	state := make(map[string]record, len(resp.Kvs))
	for _, kv := range resp.Kvs {
		state[string(kv.Key)[len(home):]] = record{value: kv.Value, changed: uint64(kv.ModRevision)}
	}
	return state
}
