package api

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"time"
)

// HAStatusPath is the one endpoint that needs a token and is answered without an active
// node too, because it is then that operators ask.
const HAStatusPath = "sys/ha-status"

// Term is one term of the cluster's history. Times are of the clocks of the nodes concerned.
type Term struct {
	Generation     uint64    `json:"generation"`
	Epoch          uint64    `json:"epoch"`
	InstanceID     string    `json:"instance_id"` // of the active node; empty: an operator accepted a restored store
	APIAddress     string    `json:"api_address"`
	ClusterAddress string    `json:"cluster_address"`
	Began          time.Time `json:"began"`
	Reason         string    `json:"reason"`         // why it began
	Ended          time.Time `json:"ended,omitzero"` // zero: not yet, or its node could not say
	End            string    `json:"end_reason"`     // why it ended; empty likewise
}

// recent is what a node says of the active node, in several answers. It is Holdfast's own.
type recent struct {
	Role        Role      `json:"role"` // of the node that answers
	Epoch       uint64    `json:"epoch"`
	Generation  uint64    `json:"generation"`
	LeaseLeft   int64     `json:"lease_remaining_ms"` // of the node that answers, if it is active
	LastChange  time.Time `json:"last_change"`
	LastReason  string    `json:"last_reason"`
	RecordError string    `json:"record_error,omitempty"`
}

func recentOf(s Status) recent {
	return recent{
		Role: s.Role, Epoch: s.Epoch, Generation: s.Generation, LeaseLeft: s.LeaseRemaining.Milliseconds(),
		LastChange: s.LastChange, LastReason: s.LastReason, RecordError: s.RecordError,
	}
}

// haStatus answers sys/ha-status, and the history of terms below it.
func (l *Logical) haStatus(ctx context.Context, c *call, rest string) (answer, error) {
	switch {
	case c.Method != http.MethodGet:
		return answer{}, notAllowed()
	case rest == "":
		return haStatusOf(l.cfg.Status()), nil
	case rest != "terms":
		return answer{}, notFound("this version of Holdfast has no " + c.Path)
	}
	terms, unreadable, err := l.cfg.Terms(ctx)
	if err != nil {
		return answer{}, err
	}
	return answer{data: object{"terms": terms, "unreadable": unreadable}, flat: true}, nil
}

// haStatusOf lists the members, by API address.
func haStatusOf(status Status) answer {
	members := slices.SortedFunc(slices.Values(status.Members), func(a, b Member) int {
		return cmp.Or(cmp.Compare(a.APIAddress, b.APIAddress), cmp.Compare(a.InstanceID, b.InstanceID))
	})
	nodes := make([]object, len(members))
	for i, m := range members {
		nodes[i] = object{
			"hostname": m.Hostname, "api_address": m.APIAddress, "cluster_address": m.ClusterAddress,
			"active_node": m.Active, "version": m.Version, "last_echo": when(m.LastEcho),
			"echo_duration_ms": 0, "clock_skew_ms": 0, "replication_primary_canary_age_ms": 0,
			"instance_id": m.InstanceID, "speaks": m.Speaks, "role": m.Role, "epoch": m.Epoch, "attached": when(m.Attached),
		}
	}
	r := recentOf(status)
	data := object{
		"nodes": nodes, "in_force": status.InForce, "epoch": r.Epoch, "generation": r.Generation,
		"lease_remaining_ms": r.LeaseLeft, "last_change": r.LastChange, "last_reason": r.LastReason,
	}
	if r.RecordError != "" {
		data["record_error"] = r.RecordError
	}
	return answer{data: data, flat: true}
}

// when is a time, or null.
func when(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UTC().Format(time.RFC3339Nano)
}

// stepDown answers sys/step-down: another node becomes the active one. The body may
// name it.
func (l *Logical) stepDown(ctx context.Context, c *call, rest string) (answer, error) {
	if rest != "" || !c.isWrite() {
		return answer{}, notAllowed()
	}
	var body struct {
		To     string `json:"to"`
		Node   string `json:"node"`
		Target string `json:"target"`
	}
	if err := decodeBody(c.Body, &body); err != nil {
		return answer{}, err
	}
	return written(), l.cfg.StepDown(ctx, cmp.Or(body.To, body.Node, body.Target))
}
