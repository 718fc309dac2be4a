package cli

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/vault/api"
)

// showSecret prints an answer of the API: one field of it, all of it as JSON, or
// a table of its data. path names it in errors.
func (s *session) showSecret(secret *api.Secret, path, field string) error {
	if secret == nil {
		return noValue(path)
	}
	s.warn(secret)
	if field != "" {
		return s.out.field(secret.Data, field)
	}
	if s.out.json() {
		return s.out.value(secret)
	}
	s.out.table([]string{"Key", "Value"}, secretRows(secret))
	return nil
}

// secretRows are the lease of an answer, if it has one, and its data.
func secretRows(secret *api.Secret) [][]string {
	var rows [][]string
	lease := (time.Duration(secret.LeaseDuration) * time.Second).String()
	switch {
	case secret.LeaseID != "":
		rows = append(rows,
			[]string{"lease_id", secret.LeaseID},
			[]string{"lease_duration", lease},
			[]string{"lease_renewable", display(secret.Renewable)})
	case secret.LeaseDuration > 0:
		rows = append(rows, []string{"refresh_interval", lease})
	}
	if auth := secret.Auth; auth != nil {
		rows = append(rows,
			[]string{"token", auth.ClientToken},
			[]string{"token_accessor", auth.Accessor},
			[]string{"token_duration", (time.Duration(auth.LeaseDuration) * time.Second).String()},
			[]string{"token_renewable", display(auth.Renewable)},
			[]string{"token_policies", fmt.Sprintf("%q", auth.TokenPolicies)})
	}
	for _, key := range slices.Sorted(maps.Keys(secret.Data)) {
		rows = append(rows, []string{key, displaySeconds(key, secret.Data[key])})
	}
	return rows
}

// displaySeconds shows a number of seconds, told by its name, as a duration.
func displaySeconds(key string, value any) string {
	number, ok := value.(json.Number)
	named := key == "ttl" || key == "period" || strings.HasSuffix(key, "_ttl")
	if !ok || !named {
		return display(value)
	}
	seconds, err := number.Int64()
	if err != nil {
		return display(value)
	}
	return (time.Duration(seconds) * time.Second).String()
}

// showKeys prints the answer to a list request.
func (s *session) showKeys(secret *api.Secret, path string) error {
	var keys []any
	if secret != nil {
		s.warn(secret)
		keys, _ = secret.Data["keys"].([]any)
	}
	if len(keys) == 0 {
		if s.out.json() {
			s.out.line("{}")
		}
		return noValue(path)
	}
	if s.out.json() {
		return s.out.value(keys)
	}
	rows := make([][]string, 0, len(keys))
	for _, key := range keys {
		rows = append(rows, []string{display(key)})
	}
	s.out.table([]string{"Keys"}, rows)
	return nil
}

// warn prints what the server wants the user to know besides the answer.
func (s *session) warn(secret *api.Secret) {
	for _, text := range secret.Warnings {
		fmt.Fprintf(s.env.Stderr, "WARNING! %s\n\n", printable(text))
	}
}
