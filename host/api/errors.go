package api

import "errors"

// Errors of Node that the HTTP server tells apart.
var (
	ErrInitialized    = errors.New("already initialized")
	ErrNotInitialized = errors.New("not initialized")
	ErrBadShare       = errors.New("invalid key share")
	ErrPermission     = errors.New("permission denied")
	// ErrNotEmpty: init found something in the store that it would have to overwrite or
	// share. The error that wraps it says what.
	ErrNotEmpty = errors.New("the store is not empty")
	// ErrTooOld: this node's release is too old for what the cluster writes. The error that
	// wraps it says which release is needed.
	ErrTooOld = errors.New("this node stays sealed")
)
