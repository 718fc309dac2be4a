package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// columnGap is the space between two columns of a table.
const columnGap = 4

// printer writes the output of a command. The first error of the writer is kept
// in err and ends the output: what was not printed must not look like success.
type printer struct {
	w      io.Writer
	format *string // of the connection, known once flags are parsed
	err    error
}

func (p *printer) json() bool { return *p.format == "json" }

func (p *printer) write(text string) {
	if p.err != nil {
		return
	}
	if _, err := io.WriteString(p.w, text); err != nil {
		p.err = fmt.Errorf("print the output: %w", err)
	}
}

func (p *printer) line(text string) { p.write(text + "\n") }

// say prints a message for people; scripts that asked for JSON do not get it.
func (p *printer) say(format string, args ...any) {
	if !p.json() {
		p.line(fmt.Sprintf(format, args...))
	}
}

// value prints v as indented JSON.
func (p *printer) value(v any) error {
	encoder := json.NewEncoder(writerFunc(func(b []byte) { p.write(string(b)) }))
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(v); err != nil {
		return fmt.Errorf("encode the output: %w", err)
	}
	return nil
}

// writerFunc is a function that is an io.Writer which never fails.
type writerFunc func([]byte)

func (f writerFunc) Write(b []byte) (int, error) {
	f(b)
	return len(b), nil
}

// table prints rows under a header, each title underlined with dashes.
func (p *printer) table(header []string, rows [][]string) {
	dashes := make([]string, len(header))
	for i, title := range header {
		dashes[i] = strings.Repeat("-", utf8.RuneCountInString(title))
	}
	p.columns(append([][]string{header, dashes}, rows...))
}

// columns prints rows with every column as wide as its widest cell.
func (p *printer) columns(rows [][]string) {
	widths := make(map[int]int)
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(printable(cell)))
		}
	}
	for _, row := range rows {
		var b strings.Builder
		for i, cell := range row {
			cell = printable(cell)
			b.WriteString(cell)
			if i < len(row)-1 {
				b.WriteString(strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell)+columnGap))
			}
		}
		p.line(b.String())
	}
}

// fields prints data as a table of keys, in order, and values.
func (p *printer) fields(data map[string]any) {
	rows := make([][]string, 0, len(data))
	for _, key := range slices.Sorted(maps.Keys(data)) {
		rows = append(rows, []string{key, display(data[key])})
	}
	p.table([]string{"Key", "Value"}, rows)
}

// titled prints a title between equal signs, about as wide as the table of
// data below it, and that table.
func (p *printer) titled(title string, data map[string]any) {
	width := 0
	for key := range data {
		width = max(width, utf8.RuneCountInString(key))
	}
	p.line(heading(title, width+columnGap+len("Value")))
	p.fields(data)
}

// location prints where a secret is in the API.
func (p *printer) location(title, path string) {
	p.line(heading(title, len(path)))
	p.line(path)
	p.line("")
}

// field prints one value and nothing else. On a terminal a line end follows; a
// file or pipe gets the exact bytes.
func (p *printer) field(data map[string]any, name string) error {
	value, ok := data[name]
	if !ok {
		return fmt.Errorf("find field %q: the answer has no such field", name)
	}
	if p.json() {
		return p.value(value)
	}
	text, ok := value.(string)
	if !ok {
		raw, err := json.Marshal(value)
		if err != nil {
			return fmt.Errorf("encode field %q: %w", name, err)
		}
		text = string(raw)
	}
	p.write(text)
	if isTerminal(p.w) {
		p.line("")
	}
	return nil
}

// heading centres title between equal signs, at least two on each side.
func heading(title string, width int) string {
	sides := max(4, width-len(title)-2)
	side := strings.Repeat("=", (sides+1)/2)
	return side + " " + title + " " + side
}

// display is a value as a table shows it.
func display(value any) string {
	switch v := value.(type) {
	case nil:
		return "<nil>"
	case string:
		if v == "" {
			return "n/a"
		}
		return v
	default:
		return fmt.Sprintf("%v", v)
	}
}

// printable replaces control characters other than line ends and tabs: a value
// must not be able to steer the terminal of whoever looks at it.
func printable(text string) string {
	if !strings.ContainsFunc(text, steering) {
		return text
	}
	var b strings.Builder
	for _, r := range text {
		if steering(r) {
			fmt.Fprintf(&b, `\x%02x`, r)
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

func steering(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\t' }
