//go:build !holdfast_previous

package version

// The newest that this release speaks. Raising one means: read it in the release that does,
// and write it only when all members speak it. See docs/adr.
const (
	Record   = 3
	Layout   = 1
	Protocol = 1
)
