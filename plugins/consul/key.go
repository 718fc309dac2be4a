package consul

import (
	"encoding/base64"
	"strings"
	"unicode/utf8"
)

// Keys are stored as they are but for characters that Consul's HTTP API refuses or
// its JSON inflates. Each of these becomes "~" and what the tables below say:
//
//   - "%": since 1.22 Consul refuses to read a key that looks percent-encoded;
//   - a space at either end of a key: likewise;
//   - "&", "<", ">": the JSON encoder of Consul's client makes six bytes of each, so
//     a batch of such keys would not fit the request the limits promise;
//   - everything beyond ASCII: Consul refuses what is unprintable by the Unicode
//     tables it was built with, and a name must not change with those;
//   - "~" itself, which makes the mapping one to one.
//
// No key takes more than twice its bytes in a request.
const (
	escape  = '~'
	escaped = "~%&<> " // stored as "~" and the letter at the same place in letters
	letters = "tpalgs" // beyond ASCII: "~" and base64url of the UTF-8, which begins with none of these
)

// encodeKey returns the name of key below the path.
func encodeKey(key string) string {
	if plain(key) {
		return key
	}
	var b strings.Builder
	b.Grow(2 * len(key))
	for i := 0; i < len(key); {
		c, size := key[i], 1
		inside := i > 0 && i < len(key)-1
		at := strings.IndexByte(escaped, c)
		switch {
		case c >= utf8.RuneSelf:
			_, size = utf8.DecodeRuneInString(key[i:])
			b.WriteByte(escape)
			b.WriteString(base64.RawURLEncoding.EncodeToString([]byte(key[i : i+size])))
		case at < 0, c == ' ' && inside:
			b.WriteByte(c)
		default:
			b.WriteByte(escape)
			b.WriteByte(letters[at])
		}
		i += size
	}
	return b.String()
}

// plain reports whether key has no character that may need to be escaped.
func plain(key string) bool {
	return !strings.ContainsFunc(key, func(r rune) bool {
		return r >= utf8.RuneSelf || strings.ContainsRune(escaped, r)
	})
}

// decodeKey is the inverse of encodeKey. ok is false for a name that encodeKey does
// not return.
func decodeKey(name string) (key string, ok bool) {
	if plain(name) {
		return name, true
	}
	var b strings.Builder
	b.Grow(len(name))
	for rest := name; rest != ""; {
		before, after, found := strings.Cut(rest, string(escape))
		b.WriteString(before)
		if !found {
			break
		}
		char, size := decodeChar(after)
		if size == 0 {
			return "", false
		}
		b.WriteString(char)
		rest = after[size:]
	}
	key = b.String()
	return key, encodeKey(key) == name // one key has one name
}

// decodeChar returns the character that s, the text after an escape, begins with,
// and how much of s it takes; 0 if s begins with none.
func decodeChar(s string) (char string, size int) {
	if s == "" {
		return "", 0
	}
	if at := strings.IndexByte(letters, s[0]); at >= 0 {
		return escaped[at : at+1], 1
	}
	for size := 2; size <= utf8.UTFMax; size++ {
		n := base64.RawURLEncoding.EncodedLen(size)
		if n > len(s) {
			break
		}
		raw, err := base64.RawURLEncoding.DecodeString(s[:n])
		if _, width := utf8.DecodeRune(raw); err == nil && width == size {
			return string(raw), n
		}
	}
	return "", 0
}
