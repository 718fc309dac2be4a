package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode/utf8"
)

// pairs collects the fields to write from arguments. Its errors name keys and
// files, never values. stdin may be used by one argument only.
type pairs struct {
	stdin     io.Reader
	stdinUsed bool
	data      map[string]any
}

// readPairs makes the fields to write from args. Each of them is one of
//
//	key=value    a string; \@ and \- stand for a leading @ and a lone -
//	key=@file    the bytes of the file
//	key=-        the bytes of standard input
//	@file        the members of a JSON object in the file
//	-            the members of a JSON object on standard input
//
// A key that is given several times gets a list of its values.
func readPairs(ctx context.Context, stdin io.Reader, args []string) (map[string]any, error) {
	p := &pairs{stdin: stdin, data: make(map[string]any)}
	for i, arg := range args {
		if err := p.add(ctx, i+1, arg); err != nil {
			return nil, err
		}
	}
	return p.data, nil
}

func (p *pairs) add(ctx context.Context, position int, arg string) error {
	key, value, isPair := strings.Cut(arg, "=")
	switch {
	case isPair && key == "":
		return usageError(fmt.Sprintf("field %d has an empty key", position))
	case isPair:
		return p.addPair(ctx, key, value)
	case arg == "-":
		raw, err := p.readStdin(ctx)
		if err != nil {
			return err
		}
		return p.addObject("standard input", raw)
	case strings.HasPrefix(arg, "@"):
		raw, err := readFile(arg[1:])
		if err != nil {
			return err
		}
		return p.addObject(arg[1:], raw)
	}
	return usageError(fmt.Sprintf("field %d is not of the form key=value, @file or -", position))
}

func (p *pairs) addPair(ctx context.Context, key, value string) error {
	text, err := p.resolve(ctx, value)
	if err != nil {
		return fmt.Errorf("take the value of %q: %w", key, err)
	}
	if !utf8.ValidString(text) {
		return fmt.Errorf("take the value of %q: it is not UTF-8 text; encode it first, for example with base64", key)
	}
	switch before := p.data[key].(type) {
	case nil:
		p.data[key] = text
	case []any:
		p.data[key] = append(before, text)
	default:
		p.data[key] = []any{before, text}
	}
	return nil
}

// resolve follows @file and -, and removes the backslash that prevents it.
func (p *pairs) resolve(ctx context.Context, value string) (string, error) {
	switch {
	case value == "-":
		raw, err := p.readStdin(ctx)
		return string(raw), err
	case strings.HasPrefix(value, "@"):
		raw, err := readFile(value[1:])
		return string(raw), err
	case strings.HasPrefix(value, `\@`), value == `\-`:
		return value[1:], nil
	}
	return value, nil
}

func (p *pairs) readStdin(ctx context.Context) ([]byte, error) {
	if p.stdinUsed {
		return nil, usageError("standard input can be used for one field only")
	}
	p.stdinUsed = true
	return readAll(ctx, p.stdin)
}

func (p *pairs) addObject(source string, raw []byte) error {
	object, err := decodeObject(raw)
	if err != nil {
		return fmt.Errorf("read the fields in %s: %w", source, err)
	}
	for key, value := range object {
		if _, twice := p.data[key]; twice {
			return fmt.Errorf("read the fields in %s: %q was given before", source, key)
		}
		p.data[key] = value
	}
	return nil
}

// decodeObject decodes exactly one JSON object. Numbers keep their digits. The
// errors of package json quote the input, so they are not passed on.
func decodeObject(raw []byte) (map[string]any, error) {
	if !utf8.Valid(raw) {
		return nil, errors.New("it is not UTF-8 text")
	}
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	var object map[string]any
	if err := decoder.Decode(&object); err != nil || object == nil {
		return nil, fmt.Errorf("it is not a JSON object (byte %d)", decoder.InputOffset())
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("more follows after the JSON object (byte %d)", decoder.InputOffset())
	}
	return object, nil
}

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read a value: %w", err)
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, maxInput+1))
	if err != nil {
		return nil, fmt.Errorf("read a value: %w", err)
	}
	if len(raw) > maxInput {
		return nil, fmt.Errorf("read a value: %s is larger than %d bytes", path, maxInput)
	}
	return raw, nil
}
