//go:build !linux

// Package orphan tells a plugin that the host that started it is dead.
package orphan

import (
	"context"
	"errors"
)

// errNoPIDFDs: elsewhere a plugin does not notice that its host was killed; the host's own
// attempt to stop it is all there is.
var errNoPIDFDs = errors.New("pidfds are a feature of Linux; this plugin will not notice that its host died")

// Check is for Linux, which has pidfds.
func Check(int) error { return errNoPIDFDs }

// Wait is for Linux, which has pidfds.
func Wait(context.Context, int) error { return errNoPIDFDs }
