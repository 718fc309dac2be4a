package cli

import (
	"context"
	"strconv"
	"time"
)

// operatorSeal seals the node it talks to.
type operatorSeal struct{ noFlags }

func (*operatorSeal) describe() description {
	return description{
		usage:    "[flags]",
		synopsis: "Seal a node: it forgets its keys and serves nothing until unsealed",
		example:  "holdfast operator seal",
	}
}

func (*operatorSeal) run(ctx context.Context, s *session, _ []string) error {
	client, err := s.client()
	if err != nil {
		return err
	}
	if err := client.Sys().SealWithContext(ctx); err != nil {
		return remote("seal the node", err)
	}
	s.out.say("Success! The node is sealed.")
	return nil
}

// operatorStepDown makes the active node hand over.
type operatorStepDown struct{ noFlags }

func (*operatorStepDown) describe() description {
	return description{
		usage:    "[flags]",
		synopsis: "Make the active node hand over to another one",
		example:  "holdfast operator step-down",
	}
}

func (*operatorStepDown) run(ctx context.Context, s *session, _ []string) error {
	client, err := s.client()
	if err != nil {
		return err
	}
	if err := client.Sys().StepDownWithContext(ctx); err != nil {
		return remote("step down", err)
	}
	s.out.say("Success! The active node stepped down.")
	return nil
}

// operatorMembers lists the nodes of the cluster.
type operatorMembers struct{ noFlags }

func (*operatorMembers) describe() description {
	return description{
		usage:    "[flags]",
		synopsis: "List the nodes that the active node knows",
		example:  "holdfast operator members",
	}
}

func (*operatorMembers) run(ctx context.Context, s *session, _ []string) error {
	client, err := s.client()
	if err != nil {
		return err
	}
	cluster, err := client.Sys().HAStatusWithContext(ctx)
	if err != nil {
		return remote("list the members", err)
	}
	if s.out.json() {
		return s.out.value(cluster)
	}
	rows := make([][]string, 0, len(cluster.Nodes))
	for _, node := range cluster.Nodes {
		echo := "n/a" // the active node does not report to itself
		if node.LastEcho != nil && !node.LastEcho.IsZero() {
			echo = node.LastEcho.Format(time.RFC3339)
		}
		rows = append(rows, []string{
			display(node.Hostname), display(node.APIAddress), display(node.ClusterAddress),
			strconv.FormatBool(node.ActiveNode), display(node.Version), echo,
		})
	}
	s.out.table([]string{"Host Name", "API Address", "Cluster Address", "Active Node", "Version", "Last Echo"}, rows)
	return nil
}
