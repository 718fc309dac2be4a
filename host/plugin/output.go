package plugin

import (
	"bytes"
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
	"unicode"

	"github.com/hashicorp/go-hclog"
)

const (
	// maxLine is the longest line of output kept whole, in bytes; the rest is dropped.
	maxLine = 1 << 20
	// maxTail is how much of a plugin's last words is remembered, in bytes.
	maxTail = 64 << 10
	// maxQuote is how much of them goes into an error, in bytes, and from how many lines.
	maxQuote      = 600
	maxQuoteLines = 3
)

// lineWriter calls line for every line written to it, without the newline. The slice
// is valid during the call. Not safe for concurrent use.
type lineWriter struct {
	line    func([]byte)
	partial []byte
}

func (w *lineWriter) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0; {
		head, tail, complete := bytes.Cut(rest, []byte("\n"))
		w.partial = append(w.partial, head[:min(len(head), maxLine-len(w.partial))]...)
		if complete {
			w.flush()
		}
		rest = tail
	}
	return len(p), nil
}

// flush ends the line that has begun.
func (w *lineWriter) flush() {
	w.line(bytes.TrimSuffix(w.partial, []byte("\r")))
	w.partial = w.partial[:0]
}

// close passes on a last line that has no newline.
func (w *lineWriter) close() {
	if len(w.partial) > 0 {
		w.flush()
	}
}

// handshakeLine is how the one line of stdout that matters begins: version of go-plugin's
// handshake, version of our protocol, network. What follows is address and protocol.
var handshakeLine = regexp.MustCompile(`^\d+\|\d+\|(unix|tcp)\|`)

// stderrLog writes what a plugin prints on stderr to the host's log. Not safe for
// concurrent use.
type stderrLog struct {
	log      hclog.Logger
	panicked bool // the lines that follow are a stack trace
}

// line logs one line at the level it says, if it is a JSON log entry. Other text is
// logged at info, for it is a print statement or a library's complaint; a panic and
// its stack trace at error.
func (s *stderrLog) line(line []byte) {
	if len(bytes.TrimSpace(line)) == 0 {
		return
	}
	if entry, ok := parseEntry(line); ok {
		s.panicked = false
		s.log.Log(entry.level, entry.message, entry.fields...)
		return
	}
	text := string(line)
	s.panicked = s.panicked || isPanic(text)
	level := hclog.Info
	if s.panicked {
		level = hclog.Error
	}
	s.log.Log(level, "plugin printed to stderr", "line", text)
}

func isPanic(line string) bool {
	return strings.HasPrefix(line, "panic: ") || strings.HasPrefix(line, "fatal error: ")
}

// entry is one line of a structured log.
type entry struct {
	level   hclog.Level
	message string
	fields  []any // keys and values, sorted by key
}

// parseEntry reads a JSON log line of hclog or slog.
func parseEntry(line []byte) (entry, bool) {
	if !bytes.HasPrefix(line, []byte("{")) {
		return entry{}, false
	}
	var values map[string]any
	dec := json.NewDecoder(bytes.NewReader(line))
	dec.UseNumber()
	if err := dec.Decode(&values); err != nil {
		return entry{}, false
	}
	take := func(names ...string) string {
		for _, name := range names {
			if text, ok := values[name].(string); ok {
				delete(values, name)
				return text
			}
		}
		return ""
	}
	e := entry{message: take("@message", "msg")}
	if e.message == "" {
		return entry{}, false
	}
	e.level = hclog.LevelFromString(take("@level", "level"))
	if e.level == hclog.NoLevel || e.level == hclog.Off {
		e.level = hclog.Info
	}
	take("@timestamp", "time") // the host's log has its own
	take("@module")
	for _, key := range slices.Sorted(maps.Keys(values)) {
		e.fields = append(e.fields, key, values[key])
	}
	return e, true
}

// tail keeps the last maxTail bytes written to it. Safe for concurrent use.
type tail struct {
	mu   sync.Mutex // guards kept
	kept []byte     // at most 2*maxTail
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.kept = append(t.kept, p[max(0, len(p)-maxTail):]...)
	if len(t.kept) > 2*maxTail {
		t.kept = append(t.kept[:0], t.kept[len(t.kept)-maxTail:]...)
	}
	return len(p), nil
}

// quote returns what matters most of the last words, on one line: the panic if there
// was one, else the last lines.
func (t *tail) quote() string {
	t.mu.Lock()
	text := string(t.kept[max(0, len(t.kept)-maxTail):])
	t.mu.Unlock()

	var lines []string
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, line)
		}
	}
	if i := slices.IndexFunc(lines, isPanic); i >= 0 {
		lines = lines[i : i+1]
	}
	lines = lines[max(0, len(lines)-maxQuoteLines):]
	for i, line := range lines {
		lines[i] = plain(line)
	}
	quoted := strings.Join(lines, " / ")
	if len(quoted) > maxQuote {
		quoted = strings.ToValidUTF8(quoted[:maxQuote], "") + "..."
	}
	return quoted
}

// plain shortens a JSON log line to its message and error, and takes control
// characters out.
func plain(line string) string {
	if e, ok := parseEntry([]byte(line)); ok {
		parts := []string{e.message}
		for i := 0; i < len(e.fields); i += 2 {
			if text, ok := e.fields[i+1].(string); ok && (e.fields[i] == "error" || e.fields[i] == "err") {
				parts = append(parts, text)
			}
		}
		line = strings.Join(parts, ": ")
	}
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, line)
}
