package config

import (
	"strings"
	"testing"
)

// loadText loads one file's contents.
func loadText(name, text string) (*Config, []Warning, error) {
	l := newLoader()
	l.add(name, []byte(text))
	return l.finish()
}

// FuzzLoad checks that no text makes the loader panic, and that it is strict: what
// it accepts is valid, and is no longer accepted with one unknown key more.
func FuzzLoad(f *testing.F) {
	f.Add(fromDesign)
	f.Add(minimal)
	f.Add(sameInJSON)
	f.Add("a = <<EOF\nx\nEOF\n")
	f.Add("storage = [{ x = { a = [1, \"2\"] } }]")
	f.Fuzz(func(t *testing.T, text string) {
		c, _, err := loadText("a.conf", text)
		if err != nil {
			t.Skip()
		}
		if err := c.Validate(); err != nil {
			t.Errorf("accepted what is not valid: %v", err)
		}
		const unknown = "no_such_key_at_all"
		more := text + "\n" + unknown + " = 1\n"
		if trimmed := strings.TrimSpace(text); strings.HasPrefix(trimmed, "{") {
			more = "{\"" + unknown + "\": 1, " + trimmed[1:]
		}
		if _, _, err := loadText("a.conf", more); err == nil {
			t.Errorf("accepted an unknown key in %q", more)
		}
	})
}
