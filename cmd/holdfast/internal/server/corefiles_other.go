//go:build !linux

package server

import "errors"

func noCoreFiles() error {
	return errors.New("not supported on this system: limit core files yourself")
}
