package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"reflect"
	"slices"

	"github.com/holdfast/holdfast/sdk/spelling"
)

// Stanza is a storage stanza: option names to JSON values.
type Stanza map[string]json.RawMessage

// ParseStanza reads a JSON object; empty input is an empty stanza. The error does not
// repeat the input.
func ParseStanza(raw []byte) (Stanza, error) {
	stanza := Stanza{}
	if len(bytes.TrimSpace(raw)) == 0 {
		return stanza, nil
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	if err := dec.Decode(&stanza); err != nil || stanza == nil {
		return nil, errors.New("options are not a JSON object")
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("there is something after the JSON object of options")
	}
	return stanza, nil
}

// Decode sets the struct target points to, of the type the Schema was made of, to the
// defaults and then to the options of stanza. It joins one error for every unknown,
// unreadable or missing option, each naming it. Values of secret options are in none.
// A method Validate() error of the struct is called last, if all was well.
func (s *Schema) Decode(stanza Stanza, target any) error {
	v := reflect.ValueOf(target).Elem()
	v.Set(s.defaults)
	var errs []error
	for _, o := range s.options {
		raw, given := stanza[o.Name]
		if given && string(raw) == "null" {
			given = false
		}
		field := v.FieldByIndex(o.index)
		if given {
			if err := setValue(field, raw, o.Secret); err != nil {
				errs = append(errs, fmt.Errorf("option %q: %w", o.Name, err))
				continue
			}
		}
		if o.Required && field.IsZero() {
			errs = append(errs, fmt.Errorf("option %q is required: %s", o.Name, o.Description))
		}
	}
	errs = append(errs, s.unknown(stanza)...)
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if c, ok := target.(interface{ Validate() error }); ok {
		return c.Validate()
	}
	return nil
}

func (s *Schema) unknown(stanza Stanza) []error {
	known := make([]string, len(s.options))
	for i, o := range s.options {
		known[i] = o.Name
	}
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(stanza)) {
		if slices.Contains(known, name) {
			continue
		}
		if near, ok := spelling.Nearest(name, known); ok {
			errs = append(errs, fmt.Errorf("option %q is unknown, did you mean %q?", name, near))
			continue
		}
		errs = append(errs, fmt.Errorf("option %q is unknown", name))
	}
	return errs
}
