package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// decodeBody decodes a body, which is empty or a JSON object, into v. Unknown members
// are passed over, as clients of other versions send some. The error is the client's and
// repeats no value.
func decodeBody(body []byte, v any) error {
	if len(body) == 0 {
		return nil
	}
	err := json.Unmarshal(body, v)
	if err == nil {
		return nil
	}
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return badRequest(fmt.Sprintf("the request body's %q has the wrong type", wrong.Field))
	}
	if bad, ok := errors.AsType[*refusal](err); ok {
		return bad
	}
	return badRequest("the request body can not be decoded")
}

// number is an integer that clients send as a JSON number or as a string.
type number int

// UnmarshalJSON implements json.Unmarshaler.
func (n *number) UnmarshalJSON(raw []byte) error {
	i, err := strconv.Atoi(unquote(raw))
	if err != nil {
		return badRequest("the request body has something else where a whole number belongs")
	}
	*n = number(i)
	return nil
}

// numbers is a list of integers that clients send as an array, as a string with commas, or
// as one number.
type numbers []int

// UnmarshalJSON implements json.Unmarshaler.
func (n *numbers) UnmarshalJSON(raw []byte) error {
	if strings.HasPrefix(string(raw), "[") {
		var list []number
		if err := json.Unmarshal(raw, &list); err != nil {
			return err
		}
		for _, i := range list {
			*n = append(*n, int(i))
		}
		return nil
	}
	for text := range strings.SplitSeq(unquote(raw), ",") {
		i, err := strconv.Atoi(strings.TrimSpace(text))
		if err != nil {
			return badRequest("the request body has something else where a list of whole numbers belongs")
		}
		*n = append(*n, i)
	}
	return nil
}

// boolean is true or false, which clients send as such or as a string.
type boolean bool

// UnmarshalJSON implements json.Unmarshaler.
func (b *boolean) UnmarshalJSON(raw []byte) error {
	parsed, err := strconv.ParseBool(unquote(raw))
	if err != nil {
		return badRequest("the request body has something else where true or false belongs")
	}
	*b = boolean(parsed)
	return nil
}

// duration is a time that clients send as seconds or as text: "90", "1h30m", "30d".
type duration time.Duration

// UnmarshalJSON implements json.Unmarshaler.
func (d *duration) UnmarshalJSON(raw []byte) error {
	parsed, err := parseDuration(unquote(raw))
	*d = duration(parsed)
	return err
}

func parseDuration(text string) (time.Duration, error) {
	unit := time.Second
	count, days := strings.CutSuffix(text, "d")
	if days {
		unit = 24 * time.Hour
	}
	if text == "" {
		return 0, nil
	}
	if n, err := strconv.ParseInt(count, 10, 64); err == nil {
		if n > math.MaxInt64/int64(unit) || n < math.MinInt64/int64(unit) {
			return 0, badRequest("a duration in the request body is too long")
		}
		return time.Duration(n) * unit, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		return 0, badRequest(`the request body has something else where a duration belongs, such as "1h30m" or 90 (seconds)`)
	}
	return d, nil
}

// unquote returns the text of a JSON string, or raw itself.
func unquote(raw []byte) string {
	var text string
	if json.Unmarshal(raw, &text) == nil {
		return text
	}
	return string(raw)
}
