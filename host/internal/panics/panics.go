// Package panics says what happened without saying what a client sent.
package panics

import (
	"fmt"
	"runtime"
)

// Describe returns what may be logged of a value that was recovered. It may hold anything, a
// secret too, so only a runtime error, which holds indices and types, is quoted.
func Describe(recovered any) string {
	if err, ok := recovered.(runtime.Error); ok {
		return err.Error()
	}
	return fmt.Sprintf("a value of type %T", recovered)
}
