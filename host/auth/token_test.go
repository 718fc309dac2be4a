package auth_test

import (
	"bytes"
	"errors"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/holdfast/holdfast/host/auth"
	"github.com/holdfast/holdfast/host/internal/fakestore"
)

// initialized returns a store in which token is the root token.
func initialized(t *testing.T, token string) *fakestore.Store {
	t.Helper()
	records, err := auth.InitRecords(token, time.Unix(1_700_000_000, 0))
	if err != nil {
		t.Fatal(err)
	}
	s := fakestore.New()
	for key, value := range records {
		if err := s.Put(t.Context(), key, value); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func TestRootToken(t *testing.T) {
	token := auth.NewToken()
	tokens := auth.New(initialized(t, token))
	if err := tokens.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	entry, err := tokens.Lookup(t.Context(), token)
	if err != nil {
		t.Fatal(err)
	}
	if !entry.Root() || entry.CreationTime != 1_700_000_000 || entry.Accessor == "" || !entry.Orphan {
		t.Errorf("root entry = %+v", entry)
	}
}

func TestLookupRefuses(t *testing.T) {
	token := auth.NewToken()
	s := initialized(t, token)
	tokens := auth.New(s) // without Load: the first lookup reads what it needs
	for name, bad := range map[string]string{
		"empty": "", "other": auth.NewToken(), "prefix": token[:len(token)-1], "longer": token + "x",
		"path": "../salt", "huge": strings.Repeat("x", 1<<20), "control": "\x00\n",
	} {
		if _, err := tokens.Lookup(t.Context(), bad); !errors.Is(err, auth.ErrPermission) {
			t.Errorf("%s: error %v, want ErrPermission", name, err)
		}
	}
}

func TestTokenIsNotStored(t *testing.T) {
	token := auth.NewToken()
	records, err := auth.InitRecords(token, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	secret := strings.TrimPrefix(token, "hvs.")
	for key, value := range records {
		if strings.Contains(key, secret) || bytes.Contains(value, []byte(secret)) {
			t.Errorf("%s gives the token away", key)
		}
	}
	again, err := auth.InitRecords(token, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	for key := range again {
		if strings.HasPrefix(key, "hf/token/id/") && records[key] != nil {
			t.Error("two clusters hash a token alike: the hash is not keyed")
		}
	}
}

func TestLoadRefusesDamage(t *testing.T) {
	if err := auth.New(fakestore.New()).Load(t.Context()); err == nil {
		t.Error("no salt: no error")
	}
	s := initialized(t, "root")
	if err := s.Put(t.Context(), "hf/token/salt", []byte("short")); err != nil {
		t.Fatal(err)
	}
	if err := auth.New(s).Load(t.Context()); err == nil {
		t.Error("short salt: no error")
	}
}

func TestNewToken(t *testing.T) {
	form := regexp.MustCompile(`^hvs\.[0-9A-Za-z]{35}$`)
	seen := map[string]bool{}
	for range 1000 {
		token := auth.NewToken()
		if !form.MatchString(token) || seen[token] {
			t.Fatalf("token %q is malformed or repeats", token)
		}
		seen[token] = true
	}
}
