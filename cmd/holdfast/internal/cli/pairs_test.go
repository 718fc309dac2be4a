package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"
)

func writeTemp(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestReadPairs(t *testing.T) {
	text := writeTemp(t, "text", "line\n")
	object := writeTemp(t, "object.json", `{"n": 12345678901234567890, "nested": {"a": null}}`)
	for _, test := range []struct {
		name  string
		stdin string
		args  []string
		want  map[string]any
	}{
		{"pairs", "", []string{"a=1", "b=x=y", "c="}, map[string]any{"a": "1", "b": "x=y", "c": ""}},
		{"value from a file, exactly", "", []string{"a=@" + text}, map[string]any{"a": "line\n"}},
		{"value from standard input, exactly", "in\n", []string{"a=-"}, map[string]any{"a": "in\n"}},
		{"escaped", "", []string{`a=\@home`, `b=\-`, `c=a@b`, "d=-x"}, map[string]any{"a": "@home", "b": "-", "c": "a@b", "d": "-x"}},
		{"object from a file", "", []string{"@" + object}, map[string]any{"n": json.Number("12345678901234567890"), "nested": map[string]any{"a": nil}}},
		{"object from standard input", `{"a": [1]}`, []string{"-", "b=2"}, map[string]any{"a": []any{json.Number("1")}, "b": "2"}},
		{"repeated key", "", []string{"a=1", "a=2", "a=3"}, map[string]any{"a": []any{"1", "2", "3"}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := readPairs(t.Context(), strings.NewReader(test.stdin), test.args)
			if err != nil || !reflect.DeepEqual(got, test.want) {
				t.Errorf("got %v, %v, want %v", got, err, test.want)
			}
		})
	}
}

func TestReadPairsErrorsKeepSecrets(t *testing.T) {
	broken := writeTemp(t, "broken.json", `{"a": "hunter2", hunter2}`)
	binary := writeTemp(t, "binary", "hunter2\xff")
	for _, test := range []struct {
		name, stdin string
		args        []string
		want        string
	}{
		{"no equals sign", "", []string{"a=1", "hunter2"}, "field 2"},
		{"empty key", "", []string{"=hunter2"}, "empty key"},
		{"absent file", "", []string{"a=@/does/not/exist"}, "/does/not/exist"},
		{"broken JSON", "", []string{"@" + broken}, "not a JSON object"},
		{"JSON but no object", `"hunter2"`, []string{"-"}, "not a JSON object"},
		{"null", `null`, []string{"-"}, "not a JSON object"},
		{"two objects", `{"a":"hunter2"} {}`, []string{"-"}, "more follows"},
		{"not text", "", []string{"a=@" + binary}, `"a": it is not UTF-8`},
		{"object that is not text", "{\"a\":\"hunter2\xff\"}", []string{"-"}, "not UTF-8"},
		{"standard input twice", "hunter2", []string{"a=-", "b=-"}, "one field only"},
		{"key twice by an object", `{"a":"hunter2"}`, []string{"a=1", "-"}, "given before"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := readPairs(t.Context(), strings.NewReader(test.stdin), test.args)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("got %v, want an error with %q", err, test.want)
			}
			if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("error shows the value: %v", err)
			}
		})
	}
}

func FuzzPairRoundTrip(f *testing.F) {
	for _, value := range []string{"", "plain", "@file", "-", "--", "a=b", "\n", "π"} {
		f.Add("key", value)
	}
	f.Fuzz(func(t *testing.T, key, value string) {
		if key == "" || strings.Contains(key, "=") || !utf8.ValidString(value) ||
			strings.HasPrefix(value, `\@`) || value == `\-` { // what the backslash takes
			t.Skip()
		}
		argument := value
		if strings.HasPrefix(value, "@") || value == "-" {
			argument = `\` + value
		}
		got, err := readPairs(t.Context(), strings.NewReader(""), []string{key + "=" + argument})
		if err != nil || len(got) != 1 || got[key] != value {
			t.Errorf("%q=%q -> %v, %v", key, argument, got, err)
		}
	})
}
