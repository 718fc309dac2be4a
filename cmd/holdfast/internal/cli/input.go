package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

const (
	maxInput  = 32 << 20 // bytes taken from standard input or one file
	pollEvery = 100 * time.Millisecond
)

// readAll reads r to its end and gives up when ctx ends.
func readAll(ctx context.Context, r io.Reader) ([]byte, error) {
	raw, err := io.ReadAll(io.LimitReader(interruptible(ctx, r), maxInput+1))
	if err != nil {
		return nil, fmt.Errorf("read standard input: %w", err)
	}
	if len(raw) > maxInput {
		return nil, fmt.Errorf("read standard input: more than %d bytes", maxInput)
	}
	return raw, nil
}

// readLine reads one line from a terminal, without its end, byte by byte so that
// nothing after it is lost.
func readLine(ctx context.Context, r io.Reader) (string, error) {
	var line []byte
	in, one := interruptible(ctx, r), make([]byte, 1)
	for len(line) <= maxTokenFile {
		n, err := in.Read(one)
		if n == 1 && one[0] == '\n' || errors.Is(err, io.EOF) && len(line) > 0 {
			return string(line), nil
		}
		if err != nil {
			return "", err
		}
		line = append(line, one[:n]...)
	}
	return "", fmt.Errorf("line is longer than %d bytes", maxTokenFile)
}

// readerFunc is a function that is an io.Reader.
type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// interruptible makes reads of a terminal or pipe fail once ctx has ended. A
// read(2) that has begun can not be called back, so each waits for input first.
func interruptible(ctx context.Context, r io.Reader) io.Reader {
	file, ok := r.(*os.File)
	if !ok {
		return r
	}
	return readerFunc(func(p []byte) (int, error) {
		if err := awaitInput(ctx, int(file.Fd())); err != nil {
			return 0, err
		}
		return file.Read(p)
	})
}

// awaitInput waits until fd can be read without blocking, or ctx ends.
func awaitInput(ctx context.Context, fd int) error {
	fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := unix.Poll(fds, int(pollEvery.Milliseconds()))
		if err != nil && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("wait for input: %w", err)
		}
		if err == nil && n > 0 {
			return nil
		}
	}
}
