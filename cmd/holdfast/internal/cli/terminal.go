package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// errNotTerminal means that there is nobody to ask.
var errNotTerminal = errors.New("not a terminal")

// askSecret shows prompt and reads a line from the terminal in without echo. It
// returns errNotTerminal if in is none. However it ends, echo is back on.
func askSecret(ctx context.Context, in io.Reader, out io.Writer, prompt string) (line string, err error) {
	file, ok := in.(*os.File)
	if !ok {
		return "", errNotTerminal
	}
	fd := int(file.Fd())
	before, err := unix.IoctlGetTermios(fd, getTermios)
	if err != nil {
		return "", errNotTerminal
	}
	silent := *before
	silent.Lflag &^= unix.ECHO
	silent.Lflag |= unix.ICANON | unix.ISIG
	silent.Iflag |= unix.ICRNL
	if err := unix.IoctlSetTermios(fd, setTermios, &silent); err != nil {
		return "", fmt.Errorf("switch off the terminal's echo: %w", err)
	}
	defer func() {
		fmt.Fprintln(out)
		if restoreErr := unix.IoctlSetTermios(fd, setTermios, before); restoreErr != nil {
			err = errors.Join(err, fmt.Errorf("switch on the terminal's echo: %w", restoreErr))
		}
	}()
	fmt.Fprint(out, prompt)
	line, err = readLine(ctx, file)
	if err != nil {
		return "", fmt.Errorf("read from the terminal: %w", err)
	}
	return line, nil
}

// isTerminal reports whether w is a terminal.
func isTerminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	if !ok {
		return false
	}
	_, err := unix.IoctlGetTermios(int(file.Fd()), getTermios)
	return err == nil
}
