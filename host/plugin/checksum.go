package plugin

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
)

// checksum returns the sha256, in hex, of the program that the process runs. The file that
// was executed is still the one that is read if another has taken its name meanwhile.
func (p *process) checksum(ctx context.Context) (string, error) {
	file, err := p.executed()
	if err != nil {
		return "", err
	}
	defer func() { _ = file.Close() }() // opened for reading
	hash := sha256.New()
	if _, err := io.Copy(hash, reader{ctx, file}); err != nil {
		return "", fmt.Errorf("read %s: %w", p.program.path, err)
	}
	return hex.EncodeToString(hash.Sum(nil)), nil
}

// executed opens the file that the process executes: on Linux by the process itself. Of a
// script the kernel executes the interpreter; then it is the script, unless it was replaced.
func (p *process) executed() (*os.File, error) {
	for _, path := range []string{fmt.Sprintf("/proc/%d/exe", p.runner.cmd.Process.Pid), p.program.path} {
		file, err := os.Open(path)
		if err != nil {
			continue
		}
		if info, err := file.Stat(); err == nil && p.file != nil && os.SameFile(info, p.file) {
			return file, nil
		}
		_ = file.Close() // opened for reading
	}
	return nil, errors.New("the file that was executed is not there any more")
}

// reader ends with its context.
type reader struct {
	ctx  context.Context //nolint:containedctx // io.Reader has none
	file *os.File
}

func (r reader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.file.Read(p)
}
