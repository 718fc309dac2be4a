// Package template holds the skeleton of a storage plugin, which the command "holdfast
// plugin new" writes for an author. The skeleton is a program of this repository, built and
// tested with the rest: a backend over a local file. With the build tag template_ha it
// has the high availability that the authors' guide (docs/authors) adds.
package template

import (
	"embed"
	"io/fs"
)

// Name is the name of the plugin in the skeleton. It occurs in its files only where the
// author's name belongs.
const Name = "skeleton"

// Package is the import path of the skeleton's package.
const Package = "github.com/holdfast/holdfast/sdk/template/skeleton"

// The files are listed, so that nothing is embedded that only happens to be there. ha.go is not
// among them: adding it is the author's step.
//
//go:embed skeleton/main.go skeleton/backend.go skeleton/document.go skeleton/file.go
//go:embed skeleton/backend_test.go skeleton/file_test.go
//go:embed skeleton/Makefile skeleton/README.md skeleton/.gitignore skeleton/.github/workflows/ci.yml
var skeleton embed.FS

// Files returns the files of the skeleton, with its go.mod and go.sum missing: they depend
// on where the SDK is.
func Files() (fs.FS, error) { return fs.Sub(skeleton, Name) }
