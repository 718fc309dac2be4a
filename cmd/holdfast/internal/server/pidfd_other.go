//go:build !linux

package server

import (
	"fmt"
	"os"
	"runtime"
)

func ownDescriptor() (*os.File, error) {
	return nil, fmt.Errorf("-dev-nodes needs Linux, this is %s", runtime.GOOS)
}
