package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sort"
)

// parseJSON reads one JSON object. It works on tokens, because it must see keys that
// come twice, which decoding into a map would hide.
func parseJSON(name string, data []byte) (*object, error) {
	p := &jsonParser{name: name, dec: json.NewDecoder(bytes.NewReader(data)), newlines: newlines(data)}
	p.dec.UseNumber()
	value, err := p.value(0)
	if err != nil {
		return nil, err
	}
	root, ok := value.(*object)
	if !ok {
		return nil, fmt.Errorf("%s: parse JSON: the file must hold one object", name)
	}
	if _, err := p.dec.Token(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s: parse JSON: more data follows the object", p.at())
	}
	return root, nil
}

type jsonParser struct {
	name     string
	dec      *json.Decoder
	newlines []int64 // offsets
}

// value reads the next value.
func (p *jsonParser) value(depth int) (any, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("%s: nested more than %d deep", p.at(), maxDepth)
	}
	t, err := p.token()
	if err != nil {
		return nil, err
	}
	switch t := t.(type) {
	case json.Delim:
		if t == '[' {
			return p.list(depth)
		}
		return p.object(depth)
	case json.Number:
		if n, err := t.Int64(); err == nil {
			return n, nil
		}
		f, err := t.Float64()
		if err != nil {
			return nil, fmt.Errorf("%s: parse JSON: number out of range", p.at())
		}
		return f, nil
	default: // string, bool, nil
		return t, nil
	}
}

func (p *jsonParser) object(depth int) (*object, error) {
	o := &object{at: p.at()}
	seen := map[string]bool{}
	for p.dec.More() {
		t, err := p.token()
		if err != nil {
			return nil, err
		}
		key, ok := t.(string)
		if !ok {
			return nil, fmt.Errorf("%s: parse JSON: key is not a string", p.at())
		}
		e := entry{at: p.at(), key: key}
		if seen[key] {
			return nil, &KeyError{File: e.at.file, Line: e.at.line, Key: key, Err: errors.New("is set twice")}
		}
		seen[key] = true
		if e.value, err = p.value(depth + 1); err != nil {
			return nil, err
		}
		o.entries = append(o.entries, e)
	}
	_, err := p.token() // the closing brace
	return o, err
}

func (p *jsonParser) list(depth int) ([]any, error) {
	values := []any{}
	for p.dec.More() {
		value, err := p.value(depth + 1)
		if err != nil {
			return nil, err
		}
		values = append(values, value)
	}
	_, err := p.token() // the closing bracket
	return values, err
}

func (p *jsonParser) token() (json.Token, error) {
	t, err := p.dec.Token()
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return nil, fmt.Errorf("%s: parse JSON: %w", p.at(), err)
	}
	return t, nil
}

// at is where the token read last ends.
func (p *jsonParser) at() position {
	offset := p.dec.InputOffset()
	line := 1 + sort.Search(len(p.newlines), func(i int) bool { return p.newlines[i] >= offset })
	return position{p.name, line}
}

func newlines(data []byte) []int64 {
	var offsets []int64
	for i, b := range data {
		if b == '\n' {
			offsets = append(offsets, int64(i))
		}
	}
	return offsets
}
