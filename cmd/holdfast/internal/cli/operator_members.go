package cli

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"strconv"
	"time"

	"github.com/hashicorp/vault/api"
)

// operatorStepDown makes the active node hand over.
type operatorStepDown struct{ to string }

func (*operatorStepDown) describe() description {
	return description{
		usage:    "[flags]",
		synopsis: "Make the active node hand over to another one",
		example:  "holdfast operator step-down -to=https://node2:8200",
	}
}

func (c *operatorStepDown) declare(fs *flag.FlagSet) {
	fs.StringVar(&c.to, "to", "", "the `node` that is to be active: its instance id, host name, or API or cluster address; "+
		"see operator members. Without it, the one heard of last")
}

func (c *operatorStepDown) run(ctx context.Context, s *session, _ []string) error {
	client, err := s.client()
	if err != nil {
		return err
	}
	var body map[string]any
	if c.to != "" {
		body = map[string]any{"to": c.to}
	}
	if _, err := client.Logical().WriteWithContext(ctx, "sys/step-down", body); err != nil {
		return remote("step down", err)
	}
	s.out.say("Success! The active node stepped down.")
	return nil
}

// operatorMembers lists the nodes of the cluster, or the terms of its history.
type operatorMembers struct{ history bool }

func (*operatorMembers) describe() description {
	return description{
		usage:    "[flags]",
		synopsis: "List the nodes of the cluster, or with -history which of them was active when",
		details:  "While no node is active, a node tells what it heard last.",
		example:  "holdfast operator members\nholdfast operator members -history",
	}
}

func (c *operatorMembers) declare(fs *flag.FlagSet) {
	fs.BoolVar(&c.history, "history", false, "list the last 100 terms, the latest first, with the reasons why they began and ended")
}

func (c *operatorMembers) run(ctx context.Context, s *session, _ []string) error {
	client, err := s.client()
	if err != nil {
		return err
	}
	if c.history {
		return s.showTerms(ctx, client)
	}
	var answer haStatus
	if err := readInto(ctx, client, "sys/ha-status", &answer); err != nil {
		return remote("list the members", err)
	}
	if s.out.json() {
		return s.out.value(answer)
	}
	rows := make([][]string, 0, len(answer.Nodes))
	for _, n := range answer.Nodes {
		rows = append(rows, []string{
			display(n.Hostname), display(n.APIAddress), display(n.ClusterAddress), strconv.FormatBool(n.Active), display(n.Version),
			moment(n.LastEcho), display(n.Role), strconv.FormatUint(n.Epoch, 10), moment(n.Attached), display(n.InstanceID),
		})
	}
	s.out.table([]string{
		"Host Name", "API Address", "Cluster Address", "Active Node", "Version", "Last Echo", "Role", "Epoch", "Attached", "Instance ID",
	}, rows)
	if answer.LastReason != "" {
		s.out.line(fmt.Sprintf("\nLast change: %s, %s", moment(&answer.LastChange), answer.LastReason))
	}
	if answer.RecordError != "" {
		s.out.line("\nNothing is read or written: " + answer.RecordError)
	}
	return nil
}

// haStatus is the answer of sys/ha-status.
type haStatus struct {
	Nodes []struct {
		Hostname       string     `json:"hostname"`
		APIAddress     string     `json:"api_address"`
		ClusterAddress string     `json:"cluster_address"`
		Active         bool       `json:"active_node"`
		Version        string     `json:"version"`
		LastEcho       *time.Time `json:"last_echo"`
		InstanceID     string     `json:"instance_id"`
		Role           string     `json:"role"`
		Epoch          uint64     `json:"epoch"`
		Attached       *time.Time `json:"attached"`
	} `json:"nodes"`
	Epoch          uint64    `json:"epoch"`
	Generation     uint64    `json:"generation"`
	LeaseRemaining int64     `json:"lease_remaining_ms"`
	LastChange     time.Time `json:"last_change"`
	LastReason     string    `json:"last_reason"`
	RecordError    string    `json:"record_error,omitempty"`
}

// termHistory is the answer of sys/ha-status/terms.
type termHistory struct {
	Terms []struct {
		Generation uint64     `json:"generation"`
		Epoch      uint64     `json:"epoch"`
		InstanceID string     `json:"instance_id"`
		APIAddress string     `json:"api_address"`
		Began      time.Time  `json:"began"`
		Reason     string     `json:"reason"`
		Ended      *time.Time `json:"ended,omitempty"`
		EndReason  string     `json:"end_reason"`
	} `json:"terms"`
	Unreadable int `json:"unreadable"`
}

func (s *session) showTerms(ctx context.Context, client *api.Client) error {
	var answer termHistory
	if err := readInto(ctx, client, "sys/ha-status/terms", &answer); err != nil {
		return remote("read the history", err)
	}
	if s.out.json() {
		return s.out.value(answer)
	}
	rows := make([][]string, 0, len(answer.Terms))
	for _, t := range answer.Terms {
		rows = append(rows, []string{
			strconv.FormatUint(t.Epoch, 10), display(t.APIAddress), moment(&t.Began), display(t.Reason), moment(t.Ended), display(t.EndReason),
		})
	}
	s.out.table([]string{"Epoch", "Active Node", "Began", "Why", "Ended", "Why"}, rows)
	if answer.Unreadable > 0 {
		s.out.line(fmt.Sprintf("\n%d terms can not be read: their records in the store were altered.", answer.Unreadable))
	}
	return nil
}

// readInto decodes the data of the answer at path into answer.
func readInto(ctx context.Context, client *api.Client, path string, answer any) error {
	secret, err := client.Logical().ReadWithContext(ctx, path)
	if err != nil {
		return err
	}
	return decodeInto(secret, answer)
}

// decodeInto decodes the data of secret into answer.
func decodeInto(secret *api.Secret, answer any) error {
	if secret == nil {
		return errors.New("the server has no such endpoint")
	}
	raw, err := json.Marshal(secret.Data)
	if err != nil {
		return fmt.Errorf("decode the answer: %w", err)
	}
	if err := json.Unmarshal(raw, answer); err != nil {
		return fmt.Errorf("decode the answer: %w", err)
	}
	return nil
}

// moment is a time as a table shows it.
func moment(t *time.Time) string {
	if t == nil || t.IsZero() {
		return "n/a"
	}
	return t.Format(time.RFC3339)
}
