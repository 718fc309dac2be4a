package config

import (
	"crypto/tls"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// The functions below read a value the way Vault does: booleans and numbers may be
// strings. Their errors say what is wanted and do not repeat the value.

func asText(value any) (string, error) {
	switch v := value.(type) {
	case string:
		return v, nil
	case int64:
		return strconv.FormatInt(v, 10), nil
	default:
		return "", fmt.Errorf("must be a string, not %s", kind(value))
	}
}

func asBool(value any) (bool, error) {
	switch v := value.(type) {
	case bool:
		return v, nil
	case int64:
		if v == 0 || v == 1 {
			return v == 1, nil
		}
	case string:
		if b, err := strconv.ParseBool(v); err == nil {
			return b, nil
		}
	}
	return false, errors.New("must be true or false")
}

// asDuration reads "1h30m", "7d", or a number of seconds.
func asDuration(value any) (time.Duration, error) {
	var seconds float64
	switch v := value.(type) {
	case int64:
		seconds = float64(v)
	case float64:
		seconds = v
	case string:
		v = strings.TrimSpace(v)
		if d, err := time.ParseDuration(v); err == nil {
			return notNegative(d)
		}
		scale := 1.0
		if days, ok := strings.CutSuffix(v, "d"); ok {
			v, scale = days, 24*60*60
		}
		n, err := strconv.ParseFloat(v, 64)
		if err != nil {
			return 0, errors.New(`must be a duration such as "90s" or "5m", or a number of seconds`)
		}
		seconds = n * scale
	default:
		return 0, fmt.Errorf("must be a duration, not %s", kind(value))
	}
	nanos := seconds * float64(time.Second)
	if math.IsNaN(nanos) || nanos < 0 || nanos >= math.MaxInt64 {
		return 0, errors.New("duration is out of range")
	}
	return time.Duration(nanos), nil
}

func notNegative(d time.Duration) (time.Duration, error) {
	if d < 0 {
		return 0, errors.New("duration is negative")
	}
	return d, nil
}

// asSize reads a number of bytes, at least 1.
func asSize(value any) (int64, error) {
	n, ok := value.(int64)
	if text, isText := value.(string); isText {
		parsed, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
		n, ok = parsed, err == nil
	}
	if !ok {
		return 0, errors.New("must be a number of bytes")
	}
	if n < 1 {
		return 0, errors.New("must be at least 1: there is no way to turn the limit off")
	}
	return n, nil
}

// asOpposite reads a boolean whose default is true into a field whose zero value is that.
func asOpposite(value any) (bool, error) {
	b, err := asBool(value)
	return !b, err
}

// asCount reads a number from 1.
func asCount(value any) (int64, error) {
	n, ok := value.(int64)
	if text, isText := value.(string); isText {
		parsed, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
		n, ok = parsed, err == nil
	}
	if !ok || n < 1 {
		return 0, errors.New("must be a whole number, at least 1")
	}
	return n, nil
}

// asMemory reads "512MiB", also with KiB or GiB, or a number of bytes.
func asMemory(value any) (int64, error) {
	text, isText := value.(string)
	if !isText {
		return asCount(value)
	}
	number, shift := strings.TrimSpace(text), 0
	for i, unit := range []string{"KiB", "MiB", "GiB"} {
		if before, ok := strings.CutSuffix(number, unit); ok {
			number, shift = strings.TrimSpace(before), 10*(i+1)
			break
		}
	}
	n, err := asCount(number)
	if err != nil || n > math.MaxInt64>>shift {
		return 0, errors.New(`must be a size such as "512MiB" or "2GiB", or a number of bytes`)
	}
	return n << shift, nil
}

func asList(value any) ([]string, error) {
	values, ok := value.([]any)
	if !ok {
		return nil, fmt.Errorf("must be a list of strings, not %s", kind(value))
	}
	list := make([]string, 0, len(values))
	for _, element := range values {
		text, err := asText(element)
		if err != nil {
			return nil, fmt.Errorf("element %d %w", len(list)+1, err)
		}
		list = append(list, text)
	}
	return list, nil
}

func asTLSVersion(value any) (uint16, error) {
	switch value {
	case "tls12":
		return tls.VersionTLS12, nil
	case "tls13":
		return tls.VersionTLS13, nil
	default:
		return 0, errors.New(`must be "tls12" or "tls13": older versions are not secure`)
	}
}

// asCipherSuites reads names as in crypto/tls, as a list or separated by commas.
func asCipherSuites(value any) ([]uint16, error) {
	var names []string
	if text, ok := value.(string); ok {
		names = strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' })
	} else {
		var err error
		if names, err = asList(value); err != nil {
			return nil, err
		}
	}
	known := map[string]uint16{}
	for _, suite := range tls.CipherSuites() {
		known[suite.Name] = suite.ID
	}
	var ids []uint16
	for _, name := range names {
		id, ok := known[name]
		if !ok {
			return nil, fmt.Errorf("%q is not a secure cipher suite of this version", name)
		}
		ids = append(ids, id)
	}
	return ids, nil
}

// kind names the type of a value for people.
func kind(value any) string {
	switch value.(type) {
	case string:
		return "a string"
	case bool:
		return "a boolean"
	case int64, float64:
		return "a number"
	case []any:
		return "a list"
	case *object:
		return "a block"
	default:
		return "null"
	}
}
