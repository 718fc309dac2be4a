package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// setValue decodes raw into field. Types are as weak as in the config files of Vault:
// "true" and "8" are a bool and an int, 8 is a string, too. secret keeps the
// value out of the error.
func setValue(field reflect.Value, raw json.RawMessage, secret bool) error {
	err := setTyped(field, raw)
	if err == nil {
		return nil
	}
	if secret {
		return err
	}
	return fmt.Errorf("%w, got %s", err, raw)
}

func setTyped(field reflect.Value, raw json.RawMessage) error {
	if field.Type() == listType {
		list, err := parseList(raw)
		field.Set(reflect.ValueOf(list))
		return err
	}
	text, err := scalarText(raw)
	if err != nil {
		return err
	}
	switch {
	case field.Type() == durationType:
		d, err := parseDuration(text)
		field.SetInt(int64(d))
		return err
	case field.Kind() == reflect.String:
		field.SetString(text)
	case field.Kind() == reflect.Bool:
		b, err := strconv.ParseBool(text)
		if err != nil {
			return errors.New("want true or false")
		}
		field.SetBool(b)
	case isInt(field.Type()):
		n, err := strconv.ParseInt(text, 10, field.Type().Bits())
		if err != nil {
			return errors.New("want a whole number in range")
		}
		field.SetInt(n)
	default:
		n, err := strconv.ParseUint(text, 10, field.Type().Bits())
		if err != nil {
			return errors.New("want a whole number in range, not negative")
		}
		field.SetUint(n)
	}
	return nil
}

// scalarText returns the text of a JSON string, number or bool.
func scalarText(raw json.RawMessage) (string, error) {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		return "", errors.New("want a single value")
	}
	switch v := v.(type) {
	case string:
		return v, nil
	case json.Number:
		return v.String(), nil
	case bool:
		return strconv.FormatBool(v), nil
	default:
		return "", errors.New("want a single value")
	}
}

// parseDuration reads "1m30s", or a number of seconds.
func parseDuration(text string) (time.Duration, error) {
	if d, err := time.ParseDuration(text); err == nil {
		return d, nil
	}
	seconds, err := strconv.ParseFloat(text, 64)
	if err != nil || math.Abs(seconds) > math.MaxInt64/float64(time.Second)/2 || math.IsNaN(seconds) {
		return 0, errors.New(`want a duration such as "15s", or a number of seconds`)
	}
	return time.Duration(seconds * float64(time.Second)), nil
}

// parseList reads a JSON list of scalars, or a text with commas. Empty entries of
// a text are dropped.
func parseList(raw json.RawMessage) ([]string, error) {
	var entries []json.RawMessage
	if err := json.Unmarshal(raw, &entries); err == nil {
		list := make([]string, len(entries))
		for i, entry := range entries {
			text, err := scalarText(entry)
			if err != nil {
				return nil, errors.New("want a list of texts")
			}
			list[i] = text
		}
		return list, nil
	}
	text, err := scalarText(raw)
	if err != nil {
		return nil, errors.New("want a list, or a text with commas")
	}
	var list []string
	for entry := range strings.SplitSeq(text, ",") {
		if entry = strings.TrimSpace(entry); entry != "" {
			list = append(list, entry)
		}
	}
	return list, nil
}
