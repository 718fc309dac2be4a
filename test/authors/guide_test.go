// Package authors checks the guide for authors of storage plugins, docs/authors: it does what
// the guide says, command by command.
package authors

import (
	"fmt"
	"regexp"
	"strings"
)

// block is one fenced block of the guide.
type block struct {
	line int    // of its first fence
	kind string // what follows the fence: the language, and what is special
	text string
}

// The kinds of blocks. There are no others, so that nothing in the guide is left out by mistake.
const (
	script     = "sh"            // commands, run in one shell
	prepared   = "sh prepared"   // commands in place of which the test does the same in its own way
	background = "sh background" // a command of another terminal, which goes on
	output     = "text"          // lines that the commands before it print; "..." stands for any text
	excerpt    = "go"            // part of a file of the author's module
	newFile    = "go ha.go"      // a file that the author adds
)

// blocks returns the fenced blocks of a Markdown text.
func blocks(text string) ([]block, error) {
	var all []block
	var open *block
	number := 0
	for line := range strings.Lines(text) {
		number++
		fence, isFence := strings.CutPrefix(line, "```")
		switch {
		case !isFence && open != nil:
			open.text += line
		case !isFence:
		case open == nil:
			open = &block{line: number, kind: strings.TrimSpace(fence)}
		default:
			all = append(all, *open)
			open = nil
		}
	}
	if open != nil {
		return nil, fmt.Errorf("line %d: the block has no end", open.line)
	}
	return all, nil
}

// missing returns the first line of an output block that does not occur in what was printed.
func (b block) missing(printed string) (line string, found bool) {
	for line := range strings.Lines(b.text) {
		line = strings.TrimSpace(line)
		pattern := strings.ReplaceAll(regexp.QuoteMeta(line), regexp.QuoteMeta("..."), ".*")
		if !regexp.MustCompile(pattern).MatchString(printed) {
			return line, true
		}
	}
	return "", false
}
