//go:build holdfast_previous

package version

// What the release before speaks, for tests of the upgrade: they build it from the present
// sources with this tag. Nothing else may.
const (
	Record   = 2
	Layout   = 1
	Protocol = 1
)
