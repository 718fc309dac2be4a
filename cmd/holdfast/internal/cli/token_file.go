package cli

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	tokenFile    = ".holdfast-token"
	maxTokenFile = 16 << 10 // bytes; tokens are a hundred or so
)

// tokenPath is where login keeps the token.
func tokenPath(getenv func(string) string) (string, error) {
	home := getenv("HOME")
	if home == "" {
		return "", errors.New("find the token file: HOME is not set; set it, or give the token in HOLDFAST_TOKEN")
	}
	if !filepath.IsAbs(home) {
		return "", fmt.Errorf("find the token file: HOME is %q, not an absolute path", home)
	}
	return filepath.Join(home, tokenFile), nil
}

// readToken reads the token file. It refuses what login did not make: links,
// devices, and files that others may use, since somebody else could have
// planted the token and would see every secret written with it.
// The error is fs.ErrNotExist if there is no file.
func readToken(path string) (string, error) {
	// O_NONBLOCK: opening a pipe must not wait for its writer.
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if errors.Is(err, unix.ELOOP) {
		return "", fmt.Errorf("read token file %s: it is a symbolic link; remove it and log in again", path)
	}
	if err != nil {
		return "", fmt.Errorf("read token file: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", fmt.Errorf("read token file: %w", err)
	}
	if !info.Mode().IsRegular() {
		return "", fmt.Errorf("read token file %s: it is not a regular file; remove it and log in again", path)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return "", fmt.Errorf("read token file %s: its mode %04o lets others use it; run chmod 600 on it", path, info.Mode().Perm())
	}
	raw, err := io.ReadAll(io.LimitReader(f, maxTokenFile+1))
	if err != nil {
		return "", fmt.Errorf("read token file: %w", err)
	}
	if len(raw) > maxTokenFile {
		return "", fmt.Errorf("read token file %s: it is larger than %d bytes, so it holds no token", path, maxTokenFile)
	}
	return strings.TrimSpace(string(raw)), nil
}

// writeToken replaces the token file, with mode 0600. A reader sees the old
// token or the new one. Anything but a regular file at path is left alone.
func writeToken(path, token string) (err error) {
	info, err := os.Lstat(path)
	if err == nil && !info.Mode().IsRegular() {
		return fmt.Errorf("write token file %s: something else than a regular file is there; remove it", path)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("write token file: %w", err)
	}
	f, err := os.CreateTemp(filepath.Dir(path), tokenFile+"-*") // mode 0600
	if err != nil {
		return fmt.Errorf("write token file: %w", err)
	}
	defer func() {
		f.Close() // does nothing after the Close below
		if err != nil {
			os.Remove(f.Name())
			err = fmt.Errorf("write token file: %w", err)
		}
	}()
	if _, err := f.WriteString(token); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
