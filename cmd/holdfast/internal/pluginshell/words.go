package pluginshell

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/holdfast/holdfast/sdk/storage"
)

// split returns the words of a line. A word that begins with a double quote is a string
// literal of Go; any other one ends at the next space.
func split(line string) ([]string, error) {
	var words []string
	for line = strings.TrimSpace(line); line != ""; line = strings.TrimLeft(line, " \t") {
		if line[0] != '"' {
			end := strings.IndexAny(line, " \t")
			if end < 0 {
				end = len(line)
			}
			words, line = append(words, line[:end]), line[end:]
			continue
		}
		quoted, err := strconv.QuotedPrefix(line)
		if err != nil {
			return nil, errors.New("a quoted word does not end, or has an escape that Go does not know")
		}
		word, err := strconv.Unquote(quoted)
		if err != nil {
			return nil, fmt.Errorf("read a quoted word: %w", err)
		}
		line = line[len(quoted):]
		if line != "" && line[0] != ' ' && line[0] != '\t' {
			return nil, fmt.Errorf("want a space after %s", quoted)
		}
		words = append(words, word)
	}
	return words, nil
}

// parseOps reads operations, "put KEY VALUE" and "delete KEY", one after the other.
func parseOps(words []string) ([]storage.Op, error) {
	var ops []storage.Op
	for len(words) > 0 {
		switch {
		case words[0] == "put" && len(words) >= 3:
			ops, words = append(ops, storage.Put(words[1], []byte(words[2]))), words[3:]
		case words[0] == "delete" && len(words) >= 2:
			ops, words = append(ops, storage.Delete(words[1])), words[2:]
		default:
			return nil, fmt.Errorf("op %d begins with %q, want put KEY VALUE or delete KEY", len(ops)+1, words[0])
		}
	}
	return ops, nil
}
