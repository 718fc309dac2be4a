package pluginshell

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/holdfast/holdfast/host/plugin"
	"github.com/holdfast/holdfast/sdk/storage"
)

const callsHelp = `  get KEY
  list [PREFIX [AFTER [LIMIT]]]     PREFIX is "" or ends in a slash
  write OP ...                      OP is put KEY VALUE, or delete KEY
  commit KEY VERSION VALUE [OP ...] KEY is the guard; VERSION "" means that it is absent
  watch KEY VERSION                 returns when KEY is at another version
  info                              what runs
  help, exit

  A word with spaces, or with bytes that cannot be typed, stands in double quotes, with
  escapes as in Go: "two words\n", "\x00". Values and versions are printed so.
`

// maxLine is the longest line that is read, in bytes: a batch of the largest values fits.
const maxLine = 16 << 20

// errExit ends the shell.
var errExit = errors.New("exit")

// shell makes calls on a backend.
type shell struct {
	backend *plugin.Storage
	out     io.Writer
	timeout time.Duration // of one call
}

// run makes a call for each line of in until it ends, and reports whether one has failed.
func (s *shell) run(ctx context.Context, in io.Reader) (failed bool, err error) {
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, maxLine)
	for ctx.Err() == nil && lines.Scan() {
		words, err := split(lines.Text())
		if err == nil && len(words) > 0 {
			err = s.call(ctx, words[0], words[1:])
		}
		if errors.Is(err, errExit) {
			return failed, nil
		}
		if err != nil {
			failed = true
			fmt.Fprintf(s.out, "error: %v\n", err)
		}
	}
	if err := lines.Err(); err != nil {
		return failed, fmt.Errorf("read the next call: %w", err)
	}
	return failed, nil
}

// call makes one call and prints what it returns.
func (s *shell) call(ctx context.Context, name string, args []string) error {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	switch {
	case name == "get" && len(args) == 1:
		return s.printItem(s.backend.Get(ctx, args[0]))
	case name == "list" && len(args) <= 3:
		return s.list(ctx, args)
	case name == "write" && len(args) > 0:
		return s.write(ctx, args)
	case name == "commit" && len(args) >= 3:
		return s.commit(ctx, args)
	case name == "watch" && len(args) == 2:
		return s.printItem(s.backend.Watch(ctx, args[0], storage.Version(args[1])))
	case name == "info" && len(args) == 0:
		s.info()
		return nil
	case name == "help":
		_, err := io.WriteString(s.out, callsHelp)
		return err
	case name == "exit":
		return errExit
	default:
		return fmt.Errorf("%s with %d arguments is no call; help lists them", name, len(args))
	}
}

func (s *shell) printItem(item storage.Item, err error) error {
	if err == nil {
		fmt.Fprintf(s.out, "%q at version %q\n", item.Value, item.Version)
	}
	return err
}

func (s *shell) list(ctx context.Context, args []string) error {
	words := make([]string, 3)
	copy(words, args)
	limit := 0
	if words[2] != "" {
		var err error
		if limit, err = strconv.Atoi(words[2]); err != nil {
			return fmt.Errorf("limit %q is not a whole number", words[2])
		}
	}
	names, err := s.backend.List(ctx, words[0], words[1], limit)
	for _, name := range names {
		fmt.Fprintf(s.out, "%q\n", name)
	}
	return err
}

func (s *shell) write(ctx context.Context, args []string) error {
	ops, err := parseOps(args)
	if err != nil {
		return err
	}
	if err := s.backend.Write(ctx, ops); err != nil {
		return outcome(err)
	}
	fmt.Fprintln(s.out, "written")
	return nil
}

// commit reads the guard first, for stores that compare the value replaced too.
func (s *shell) commit(ctx context.Context, args []string) error {
	ops, err := parseOps(args[3:])
	if err != nil {
		return err
	}
	guard := storage.Guard{Key: args[0], Version: storage.Version(args[1]), Value: []byte(args[2])}
	if guard.Version != "" {
		now, err := s.backend.Get(ctx, guard.Key)
		if err != nil && !errors.Is(err, storage.ErrNotFound) {
			return fmt.Errorf("read the guard: %w", err)
		}
		guard.Prev = now.Value
	}
	version, err := s.backend.Commit(ctx, guard, ops)
	if err != nil {
		return outcome(err)
	}
	fmt.Fprintf(s.out, "committed; %q is at version %q\n", guard.Key, version)
	return nil
}

// outcome adds to the error of a write what it says about the write.
func outcome(err error) error {
	if storage.OutcomeOf(err) == storage.Unapplied {
		return fmt.Errorf("%w (nothing was applied)", err)
	}
	return fmt.Errorf("%w (the outcome is unknown)", err)
}

func (s *shell) info() {
	i, c := s.backend.Info(), s.backend.Capabilities()
	fmt.Fprintf(s.out, "%s %s, %s\n%s, process %d, %s\n", i.Name, i.Version, i.SDK, i.Path, i.PID, i.Address)
	fmt.Fprintf(s.out, "high availability: offered %t, switched off %t\n", s.backend.HA(), c.HADisabled)
	fmt.Fprintf(s.out, "limits: keys %d bytes, values %d bytes, batches %d ops and %d bytes\n",
		c.Limits.MaxKeyBytes, c.Limits.MaxValueBytes, c.Limits.MaxOps, c.Limits.MaxBatchBytes)
}
