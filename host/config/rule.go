package config

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/holdfast/holdfast/sdk/spelling"
)

// rule says what becomes of one key of a stanza that is read into a T.
type rule[T any] struct {
	disposition disposition
	// set reads a key that is used. It returns what is wrong with the value.
	set func(l *loader, into *T, e entry) error
	// repeats says that the key may come several times: it is a stanza.
	repeats bool
	reason  string // of a key that is ignored or refused
}

type disposition uint8

const (
	isUsed          disposition = iota
	isIgnored                   // with one warning
	isRefused                   // whatever its value
	isRefusedIfTrue             // harmless otherwise
)

func refused[T any](reason string) rule[T] { return rule[T]{disposition: isRefused, reason: reason} }

func refusedIfTrue[T any](reason string) rule[T] {
	return rule[T]{disposition: isRefusedIfTrue, reason: reason}
}

// ignore adds a rule for each key that is ignored, with its reason.
func ignore[T any](rules map[string]rule[T], reasons map[string]string) {
	for key, reason := range reasons {
		rules[key] = rule[T]{disposition: isIgnored, reason: reason}
	}
}

// used stores the value that read makes of an entry in a field.
func used[T, V any](read func(any) (V, error), field func(*T) *V) rule[T] {
	return rule[T]{set: func(_ *loader, into *T, e entry) error {
		if len(e.labels) > 0 {
			return errors.New("is a value, not a labelled block")
		}
		v, err := read(e.value)
		if err == nil {
			*field(into) = v
		}
		return err
	}}
}

func text[T any](field func(*T) *string) rule[T]            { return used(asText, field) }
func boolean[T any](field func(*T) *bool) rule[T]           { return used(asBool, field) }
func duration[T any](field func(*T) *time.Duration) rule[T] { return used(asDuration, field) }
func list[T any](field func(*T) *[]string) rule[T]          { return used(asList, field) }

// apply reads the entries of o into a T by the rules. stanza is the name of the
// stanza, or empty at the top of the file. Keys are compared as Vault does, without
// regard to case.
func apply[T any](l *loader, stanza string, o *object, rules map[string]rule[T], into *T) {
	seen := map[string]bool{}
	for _, e := range o.entries {
		name := strings.ToLower(e.key)
		path := e.key
		if stanza != "" {
			path = stanza + "." + e.key
		}
		r, ok := rules[name]
		if !ok {
			l.fail(e.at, path, unknownKey(e.key, rules))
			continue
		}
		if seen[name] && !r.repeats {
			l.fail(e.at, path, errors.New("is set twice"))
			continue
		}
		seen[name] = true
		switch r.disposition {
		case isUsed:
			if err := r.set(l, into, e); err != nil {
				l.fail(e.at, path, err)
			}
		case isIgnored:
			l.warn(e.at, path, "ignored: "+r.reason)
		case isRefused:
			l.fail(e.at, path, errors.New(r.reason))
		case isRefusedIfTrue:
			if on, err := asBool(e.value); err != nil {
				l.fail(e.at, path, err)
			} else if on {
				l.fail(e.at, path, errors.New(r.reason))
			}
		}
	}
}

// unknownKey names the known key that the unknown one is nearest to, if any is near.
func unknownKey[T any](key string, rules map[string]rule[T]) error {
	near, ok := spelling.Nearest(strings.ToLower(key), slices.Collect(maps.Keys(rules)))
	if !ok {
		return errors.New("unknown key")
	}
	return fmt.Errorf("unknown key; did you mean %s?", near)
}
