package zookeeper

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// One key takes one node. The segments of its key are the nodes on the way: the last
// one is a value node, those before it are directory nodes, and the first character of a
// node's name says which. So the key a and the keys below a/ do not meet, one request for
// the children of a node lists a level, and no name is one that ZooKeeper keeps for
// itself ("zookeeper" in the root) or refuses ("." and "..").
const (
	valueMark     = '='
	directoryMark = '+'
)

// The rest of a name is the segment, but for characters that ZooKeeper refuses. Its
// rules are in terms of UTF-16, so everything from U+D800 on is written as escape and six
// hexadecimal digits: surrogates, which stand for all that does not fit 16 bits, the
// private use area, and U+FFF0 and up. The escape itself is doubled.
const (
	escape       = '~'
	firstEscaped = 0xD800
	escapeDigits = 6
)

// valueNode is the path of the node that holds key. root is the path of the directory of
// all keys, empty for the root of the tree.
func valueNode(root, key string) string {
	var b strings.Builder
	b.Grow(len(root) + len(key) + 8)
	b.WriteString(root)
	for {
		segment, rest, more := strings.Cut(key, "/")
		b.WriteByte('/')
		if !more {
			b.WriteByte(valueMark)
			writeSegment(&b, segment)
			return b.String()
		}
		b.WriteByte(directoryMark)
		writeSegment(&b, segment)
		key = rest
	}
}

// directoryNode is the path of the node whose children are the names below prefix, which
// is empty or ends in a slash.
func directoryNode(root, prefix string) string {
	var b strings.Builder
	b.WriteString(root)
	for segment := range strings.SplitSeq(strings.TrimSuffix(prefix, "/"), "/") {
		if segment != "" {
			b.WriteByte('/')
			b.WriteByte(directoryMark)
			writeSegment(&b, segment)
		}
	}
	if b.Len() == 0 {
		return "/"
	}
	return b.String()
}

// parentOf is the path of the node above the one at path, which is not the root.
func parentOf(path string) string {
	if i := strings.LastIndexByte(path, '/'); i > 0 {
		return path[:i]
	}
	return "/"
}

// listedName is how List names the child of a directory node: a directory with a slash at
// its end. ok is false for a node that this package did not create.
func listedName(child string) (name string, ok bool) {
	if child == "" {
		return "", false
	}
	segment, ok := decodeSegment(child[1:])
	switch {
	case !ok:
		return "", false
	case child[0] == valueMark:
		return segment, true
	case child[0] == directoryMark:
		return segment + "/", true
	}
	return "", false
}

func writeSegment(b *strings.Builder, segment string) {
	for _, r := range segment {
		switch {
		case r == escape:
			b.WriteByte(escape)
			b.WriteByte(escape)
		case r >= firstEscaped:
			fmt.Fprintf(b, "%c%0*x", escape, escapeDigits, r)
		default:
			b.WriteRune(r)
		}
	}
}

// decodeSegment is the inverse of writeSegment. ok is false for a name that writeSegment
// does not write.
func decodeSegment(name string) (segment string, ok bool) {
	var b strings.Builder
	for rest := name; rest != ""; {
		before, after, found := strings.Cut(rest, string(escape))
		b.WriteString(before)
		if !found {
			break
		}
		r, size := decodeEscaped(after)
		if size == 0 {
			return "", false
		}
		b.WriteRune(r)
		rest = after[size:]
	}
	segment = b.String()
	var again strings.Builder
	writeSegment(&again, segment)
	return segment, segment != "" && utf8.ValidString(name) && again.String() == name
}

// decodeEscaped returns the character that s, the text after an escape, stands for, and
// how much of s it takes; 0 if none.
func decodeEscaped(s string) (r rune, size int) {
	if s != "" && s[0] == escape {
		return escape, 1
	}
	if len(s) < escapeDigits {
		return 0, 0
	}
	n, err := strconv.ParseUint(s[:escapeDigits], 16, 32)
	if err != nil || !utf8.ValidRune(rune(n)) {
		return 0, 0
	}
	return rune(n), escapeDigits
}
