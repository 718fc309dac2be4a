package cli

import (
	"context"
	"strconv"
	"time"

	"github.com/hashicorp/vault/api"
)

// operatorRotate gives the cluster a new encryption key.
type operatorRotate struct{ noFlags }

func (*operatorRotate) describe() description {
	return description{
		usage:    "[flags]",
		synopsis: "Encrypt with a new key from now on",
		details: "What is stored already stays as it is, and can be read: the cluster keeps the keys it had. The\n" +
			"unseal keys stay the same. Without this command keys are rotated when sys/rotate/config says.",
		example: "holdfast operator rotate",
	}
}

func (*operatorRotate) run(ctx context.Context, s *session, _ []string) error {
	client, err := s.client()
	if err != nil {
		return err
	}
	if err := client.Sys().RotateWithContext(ctx); err != nil {
		return remote("rotate the encryption key", err)
	}
	s.out.say("Success! The cluster encrypts with a new key.\n")
	return s.showKeyStatus(ctx, client)
}

// operatorKeyStatus shows the encryption key in use.
type operatorKeyStatus struct{ noFlags }

func (*operatorKeyStatus) describe() description {
	return description{
		usage:    "[flags]",
		synopsis: "Show which encryption key is in use, and since when",
		details:  "The count of encryptions is of all nodes. It is an estimate that may be too high, never too low.",
		example:  "holdfast operator key-status",
	}
}

func (*operatorKeyStatus) run(ctx context.Context, s *session, _ []string) error {
	client, err := s.client()
	if err != nil {
		return err
	}
	return s.showKeyStatus(ctx, client)
}

func (s *session) showKeyStatus(ctx context.Context, client *api.Client) error {
	key, err := client.Sys().KeyStatusWithContext(ctx)
	if err != nil {
		return remote("read the status of the encryption key", err)
	}
	if s.out.json() {
		return s.out.value(key)
	}
	s.out.table([]string{"Key", "Value"}, [][]string{
		{"Key Term", strconv.Itoa(key.Term)},
		{"Install Time", key.InstallTime.UTC().Format(time.RFC3339)},
		{"Encryption Count", strconv.Itoa(key.Encryptions)},
	})
	return nil
}
