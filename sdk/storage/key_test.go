package storage_test

import (
	"errors"
	"path"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/holdfast/holdfast/sdk/storage"
)

func TestValidateKey(t *testing.T) {
	for _, key := range []string{
		"a", "a/b", "a/b/c", "hf/kv/1/secret name", "...", "a..b", ".a", "é", "\U0001F600", "a%2Fb", "a\\b", " ",
		strings.Repeat("k", storage.MaxKeyBytes),
	} {
		if err := storage.ValidateKey(key); err != nil {
			t.Errorf("%q: got %v, want it to be a key", key, err)
		}
	}
	for _, key := range []string{
		"", "/", "/a", "a/", "a//b", ".", "..", "../a", "a/..", "a/./b", "a\x00", "a\nb", "a\x7f", "a\u0085", "\xff",
		strings.Repeat("k", storage.MaxKeyBytes+1), strings.Repeat("é", storage.MaxKeyBytes/2) + "k",
	} {
		if err := storage.ValidateKey(key); !errors.Is(err, storage.ErrInvalidKey) {
			t.Errorf("%q: got %v, want ErrInvalidKey", key, err)
		}
	}
}

func TestValidatePrefix(t *testing.T) {
	for _, prefix := range []string{"", "a/", "a/b/", strings.Repeat("k", storage.MaxKeyBytes) + "/"} {
		if err := storage.ValidatePrefix(prefix); err != nil {
			t.Errorf("%q: got %v, want it to be a prefix", prefix, err)
		}
	}
	for _, prefix := range []string{"a", "/", "//", "a//", "../", "a/b"} {
		if err := storage.ValidatePrefix(prefix); !errors.Is(err, storage.ErrInvalidKey) {
			t.Errorf("%q: got %v, want ErrInvalidKey", prefix, err)
		}
	}
}

func TestErrorsDoNotRepeatTheKey(t *testing.T) {
	for _, key := range []string{"/hunter2", "hunter2//b", "hunter2/../b", "hunter2\x00", strings.Repeat("hunter2", 200)} {
		if err := storage.ValidateKey(key); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: got %v, want an error without the key", key, err)
		}
	}
}

// FuzzValidateKey compares it with the rule as package path would put it: a key is a
// clean relative path that names something.
func FuzzValidateKey(f *testing.F) {
	for _, seed := range []string{"a", "a/b", "", "/", "a//b", "..", "a/../b", "a\x00", "\xff", "é/"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, key string) {
		want := key != "" && len(key) <= storage.MaxKeyBytes && utf8.ValidString(key) &&
			!strings.ContainsFunc(key, unicode.IsControl) &&
			path.Clean("/"+key) == "/"+key && key != "/" && path.Clean(key) == key && key != "."
		err := storage.ValidateKey(key)
		if (err == nil) != want {
			t.Errorf("ValidateKey(%q): got %v, want a key: %v", key, err, want)
		}
		if err != nil && !errors.Is(err, storage.ErrInvalidKey) {
			t.Errorf("ValidateKey(%q): got %v, want ErrInvalidKey", key, err)
		}
		if prefixErr := storage.ValidatePrefix(key + "/"); (prefixErr == nil) != want {
			t.Errorf("ValidatePrefix(%q): got %v, want a prefix: %v", key+"/", prefixErr, want)
		}
	})
}
