package cli

import "context"

type versionCommand struct{ noFlags }

func (*versionCommand) describe() description {
	return description{
		synopsis: "Print the version of this program",
		example:  "holdfast version",
		offline:  true,
	}
}

func (*versionCommand) run(_ context.Context, s *session, _ []string) error {
	s.out.line("Holdfast " + s.env.Version)
	return nil
}
