package plugin

import (
	"bytes"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"
)

// However the bytes arrive, the lines are the same.
func FuzzLineWriter(f *testing.F) {
	f.Add([]byte("a\nbc\n\nd"), 2)
	f.Add([]byte("\n\n"), 1)
	f.Fuzz(func(t *testing.T, text []byte, chunk int) {
		if chunk <= 0 || bytes.ContainsRune(text, '\r') {
			return
		}
		var got []byte
		w := &lineWriter{line: func(line []byte) { got = append(append(got, line...), '\n') }}
		for rest := text; len(rest) > 0; rest = rest[min(chunk, len(rest)):] {
			if n, err := w.Write(rest[:min(chunk, len(rest))]); err != nil || n != min(chunk, len(rest)) {
				t.Fatal(n, err)
			}
		}
		w.close()
		want := text
		if len(want) > 0 && want[len(want)-1] != '\n' {
			want = append(bytes.Clone(want), '\n')
		}
		if !bytes.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

func TestLineWriterCutsLongLines(t *testing.T) {
	var lengths []int
	w := &lineWriter{line: func(line []byte) { lengths = append(lengths, len(line)) }}
	long := bytes.Repeat([]byte("x"), maxLine)
	for _, p := range [][]byte{long, long, []byte("\nshort\n")} {
		if _, err := w.Write(p); err != nil {
			t.Fatal(err)
		}
	}
	if len(lengths) != 2 || lengths[0] != maxLine || lengths[1] != len("short") {
		t.Errorf("got lines of %d bytes, want %d and 5", lengths, maxLine)
	}
}

func TestTailQuote(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"nothing", " \n\n", ""},
		{"last lines", "1\n2\n3\n\n4\n", "2 / 3 / 4"},
		{"log entry", `{"@level":"error","@message":"could not serve","error":"no disk","n":1}` + "\n", "could not serve: no disk"},
		{"panic", "one\npanic: boom\n\ngoroutine 1 [running]:\nmain.main()\n", "panic: boom"},
		{"control characters", "a\x1b[31mred\x00\n", "a [31mred "},
		{"much", strings.Repeat("z", 3*maxTail), strings.Repeat("z", maxQuote) + "..."},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var words tail
			for chunk := []byte(tt.text); len(chunk) > 0; chunk = chunk[min(1000, len(chunk)):] {
				if _, err := words.Write(chunk[:min(1000, len(chunk))]); err != nil {
					t.Fatal(err)
				}
			}
			if got := words.quote(); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			if len(words.kept) > 2*maxTail {
				t.Errorf("keeps %d bytes", len(words.kept))
			}
		})
	}
}

func TestStderrLog(t *testing.T) {
	for _, tt := range []struct{ line, want string }{
		{`{"@level":"debug","@message":"m","@module":"consul","@timestamp":"x","b":2,"a":"1"}`, "[DEBUG] m: a=1 b=2"},
		{`{"time":"x","level":"WARN","msg":"from slog"}`, "[WARN]  from slog"},
		{`{"level":"error"}`, `[INFO]  plugin printed to stderr: line="{\"level\":\"error\"}"`},
		{`{broken`, `[INFO]  plugin printed to stderr: line={broken`},
		{`panic: boom`, `[ERROR] plugin printed to stderr: line="panic: boom"`},
		{``, ``},
	} {
		var out bytes.Buffer
		s := &stderrLog{log: hclog.New(&hclog.LoggerOptions{Output: &out, Level: hclog.Trace, DisableTime: true})}
		s.line([]byte(tt.line))
		if got := strings.TrimSpace(out.String()); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.line, got, tt.want)
		}
	}
}

// A line that the filter lets through can be judged, whatever follows its beginning.
func FuzzCheckHandshake(f *testing.F) {
	f.Add("1|1|unix|/tmp/x|grpc|")
	f.Add("1|1|unix|/tmp/x")
	f.Add("99999999999999999999|1|unix|x|grpc")
	f.Fuzz(func(t *testing.T, line string) {
		if !handshakeLine.MatchString(line) {
			return
		}
		if err := checkHandshake(line); err == nil && !strings.Contains(line, "|unix|") {
			t.Errorf("accepted %q", line)
		}
	})
}
