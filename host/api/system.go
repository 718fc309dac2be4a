package api

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"time"
)

// haStatus answers sys/ha-status: the members, by API address.
func (l *Logical) haStatus(_ context.Context, c *call, rest string) (answer, error) {
	if rest != "" || c.Method != http.MethodGet {
		return answer{}, notAllowed()
	}
	members := slices.SortedFunc(slices.Values(l.cfg.Status().Members), func(a, b Member) int {
		return cmp.Or(cmp.Compare(a.APIAddress, b.APIAddress), cmp.Compare(a.InstanceID, b.InstanceID))
	})
	nodes := make([]object, len(members))
	for i, m := range members {
		nodes[i] = object{
			"hostname": m.Hostname, "api_address": m.APIAddress, "cluster_address": m.ClusterAddress,
			"active_node": m.Active, "version": m.Version, "last_echo": lastEcho(m),
			"instance_id": m.InstanceID, "echo_duration_ms": 0, "clock_skew_ms": 0, "replication_primary_canary_age_ms": 0,
		}
	}
	return answer{data: object{"nodes": nodes}, flat: true}, nil
}

func lastEcho(m Member) any {
	if m.LastEcho.IsZero() {
		return nil
	}
	return m.LastEcho.UTC().Format(time.RFC3339Nano)
}

// stepDown answers sys/step-down: another node becomes the active one. The body may
// name it.
func (l *Logical) stepDown(ctx context.Context, c *call, rest string) (answer, error) {
	if rest != "" || !c.isWrite() {
		return answer{}, notAllowed()
	}
	var body struct {
		Target string `json:"target"`
	}
	if err := decodeBody(c.Body, &body); err != nil {
		return answer{}, err
	}
	return written(), l.cfg.StepDown(ctx, body.Target)
}

// capabilities answers sys/capabilities-self: what the token may do at each of the paths.
func (l *Logical) capabilities(_ context.Context, c *call, rest string) (answer, error) {
	if rest != "" || !c.isWrite() {
		return answer{}, notAllowed()
	}
	var body struct {
		Path  string   `json:"path"`
		Paths []string `json:"paths"`
	}
	if err := decodeBody(c.Body, &body); err != nil {
		return answer{}, err
	}
	if body.Path != "" {
		body.Paths = append(body.Paths, body.Path)
	}
	if len(body.Paths) == 0 {
		return answer{}, badRequest("paths must be specified in the request body")
	}
	data := object{}
	for _, path := range body.Paths {
		data[path] = []string{"root"}
	}
	if len(body.Paths) == 1 {
		data["capabilities"] = []string{"root"}
	}
	return answer{data: data, flat: true}, nil
}
