// Package config turns a storage stanza, a JSON object, into an author's tagged struct,
// and describes the struct to the host.
//
// A field takes part if it has a config tag:
//
//	Address string        `config:"address" desc:"address of the agent" required:"true"`
//	Token   string        `config:"token" desc:"access token" secret:"true"`
//	Timeout time.Duration `config:"timeout" desc:"limit for one request"`
//
// Fields are of type string, bool, any int or uint, time.Duration or []string. Fields of
// an embedded struct count as its own.
package config

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// Option describes one field.
type Option struct {
	Name        string
	Type        string // string, bool, int, duration or list
	Default     string // as text; empty if it is the zero value
	Description string
	Required    bool
	Secret      bool // its value appears nowhere
}

// option is an Option and the field it is decoded into.
type option struct {
	Option
	index []int
}

// Schema is what a struct type makes of its tags.
type Schema struct {
	options  []option
	defaults reflect.Value
}

// NewSchema reads the tags of defaults, a struct that holds the default values. An
// error is a mistake in the author's program.
func NewSchema(defaults any) (*Schema, error) {
	v := reflect.ValueOf(defaults)
	if v.Kind() != reflect.Struct {
		return nil, fmt.Errorf("config type %T is not a struct", defaults)
	}
	s := &Schema{defaults: v}
	names := make(map[string]bool)
	for _, field := range reflect.VisibleFields(v.Type()) {
		name, tagged := field.Tag.Lookup("config")
		if !tagged {
			continue
		}
		typeName, ok := typeNameOf(field.Type)
		switch {
		case name == "" || names[name]:
			return nil, fmt.Errorf("config field %s: tag %q is empty or used twice", field.Name, name)
		case !field.IsExported():
			return nil, fmt.Errorf("config field %s is not exported", field.Name)
		case !ok:
			return nil, fmt.Errorf("config field %s: type %s is not supported", field.Name, field.Type)
		}
		names[name] = true
		opt := option{index: field.Index, Option: Option{
			Name:        name,
			Type:        typeName,
			Description: field.Tag.Get("desc"),
			Required:    field.Tag.Get("required") == "true",
			Secret:      field.Tag.Get("secret") == "true",
		}}
		if value := v.FieldByIndex(field.Index); !opt.Secret && !value.IsZero() {
			opt.Default = textOf(value)
		}
		s.options = append(s.options, opt)
	}
	return s, nil
}

// Options returns the options in the order of the struct's fields.
func (s *Schema) Options() []Option {
	out := make([]Option, len(s.options))
	for i, o := range s.options {
		out[i] = o.Option
	}
	return out
}

var (
	durationType = reflect.TypeFor[time.Duration]()
	listType     = reflect.TypeFor[[]string]()
)

func typeNameOf(t reflect.Type) (name string, ok bool) {
	switch {
	case t == durationType:
		return "duration", true
	case t == listType:
		return "list", true
	case t.Kind() == reflect.String:
		return "string", true
	case t.Kind() == reflect.Bool:
		return "bool", true
	case isInt(t), isUint(t):
		return "int", true
	}
	return "", false
}

func isInt(t reflect.Type) bool {
	return t.Kind() >= reflect.Int && t.Kind() <= reflect.Int64
}

func isUint(t reflect.Type) bool {
	return t.Kind() >= reflect.Uint && t.Kind() <= reflect.Uint64
}

func textOf(v reflect.Value) string {
	switch {
	case v.Type() == durationType:
		return time.Duration(v.Int()).String()
	case v.Type() == listType:
		entries := make([]string, v.Len())
		for i := range entries {
			entries[i] = v.Index(i).String()
		}
		return strings.Join(entries, ",")
	case v.Kind() == reflect.Bool:
		return strconv.FormatBool(v.Bool())
	case isInt(v.Type()):
		return strconv.FormatInt(v.Int(), 10)
	case isUint(v.Type()):
		return strconv.FormatUint(v.Uint(), 10)
	default:
		return v.String()
	}
}
