package cli

import "context"

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

// operatorAcceptRestore has the cluster go on from what the store holds.
type operatorAcceptRestore struct{ noFlags }

func (*operatorAcceptRestore) describe() description {
	return description{
		usage:    "[flags]",
		synopsis: "Go on from the store as it is, after it was restored to an older state or its term record was damaged",
		details: "Nodes that saw a newer term record, or find none that they can use, serve nothing until this is said, or the " +
			"record is put back. What was written after the state that the store shows is lost for good. Any unsealed node takes the " +
			"command; it waits until no former active node can answer from memory any more.",
		example: "holdfast operator accept-restore",
	}
}

func (*operatorAcceptRestore) run(ctx context.Context, s *session, _ []string) error {
	client, err := s.client()
	if err != nil {
		return err
	}
	if _, err := client.Logical().WriteWithContext(ctx, "sys/accept-restore", nil); err != nil {
		return remote("accept the store as it is", err)
	}
	s.out.say("Success! The cluster goes on from the store as it is.")
	return nil
}
