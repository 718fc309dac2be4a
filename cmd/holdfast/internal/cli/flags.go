package cli

import (
	"errors"
	"flag"
	"strconv"
	"strings"
)

// optionalInt is a flag that tells 0 from not given.
type optionalInt struct {
	value int
	given bool
}

func (o *optionalInt) declare(fs *flag.FlagSet, name, usage string) {
	fs.Func(name, usage, func(text string) error {
		value, err := strconv.Atoi(text)
		if err != nil || value < 0 {
			return errors.New("want a whole number, not negative")
		}
		*o = optionalInt{value: value, given: true}
		return nil
	})
}

// stringMap is a flag of the form key=value that may be repeated.
type stringMap map[string]string

func (m *stringMap) declare(fs *flag.FlagSet, name, usage string) {
	fs.Func(name, usage, func(text string) error {
		key, value, ok := strings.Cut(text, "=")
		if !ok || key == "" {
			return errors.New("want key=value")
		}
		if *m == nil {
			*m = make(stringMap)
		}
		(*m)[key] = value
		return nil
	})
}

// versionList is a flag of the form 1,2,3 that may be repeated.
type versionList []int

func (l *versionList) declare(fs *flag.FlagSet, usage string) {
	fs.Func("versions", usage, func(text string) error {
		for part := range strings.SplitSeq(text, ",") {
			version, err := strconv.Atoi(strings.TrimSpace(part))
			if err != nil || version < 1 {
				return errors.New("want version numbers separated by commas")
			}
			*l = append(*l, version)
		}
		return nil
	})
}
