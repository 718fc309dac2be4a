package api

import "errors"

// Errors of Node that the HTTP server tells apart.
var (
	ErrInitialized    = errors.New("already initialized")
	ErrNotInitialized = errors.New("not initialized")
	ErrBadShare       = errors.New("invalid key share")
	ErrPermission     = errors.New("permission denied")
)
