package storage

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// MaxKeyBytes is the longest key of the contract, in bytes.
const MaxKeyBytes = 1024

// ValidateKey reports why key is not a key: a key is 1 to MaxKeyBytes bytes of
// valid UTF-8 without control characters, made of segments separated by single
// slashes, none of them empty, "." or "..". The error wraps ErrInvalidKey and does
// not repeat the key.
func ValidateKey(key string) error {
	if key == "" {
		return fmt.Errorf("%w: empty", ErrInvalidKey)
	}
	if len(key) > MaxKeyBytes {
		return fmt.Errorf("%w: %d bytes long, the most is %d", ErrInvalidKey, len(key), MaxKeyBytes)
	}
	if !utf8.ValidString(key) {
		return fmt.Errorf("%w: not valid UTF-8", ErrInvalidKey)
	}
	if strings.ContainsFunc(key, unicode.IsControl) {
		return fmt.Errorf("%w: has a control character", ErrInvalidKey)
	}
	for segment := range strings.SplitSeq(key, "/") {
		switch segment {
		case "":
			return fmt.Errorf("%w: has an empty segment (a slash at an end, or two in a row)", ErrInvalidKey)
		case ".", "..":
			return fmt.Errorf("%w: has the segment %q", ErrInvalidKey, segment)
		}
	}
	return nil
}

// ValidatePrefix reports why prefix can not be listed: it is empty, or a key
// followed by one slash. The error wraps ErrInvalidKey.
func ValidatePrefix(prefix string) error {
	if prefix == "" {
		return nil
	}
	dir, ok := strings.CutSuffix(prefix, "/")
	if !ok {
		return fmt.Errorf("%w: a prefix ends in a slash", ErrInvalidKey)
	}
	return ValidateKey(dir)
}
