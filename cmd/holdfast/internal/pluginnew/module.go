package pluginnew

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/holdfast/holdfast/sdk/template"
)

// sdkVersion is what the go command itself writes for a module that is replaced by a directory.
const sdkVersion = "v0.0.0-00010101000000-000000000000"

// addModule adds the go.mod and the go.sum of the module path, which uses the SDK in source
// with the versions that source was tested with. So it builds without a network wherever
// source does.
func addModule(ctx context.Context, files fileSet, path, source string) error {
	needed, err := requirements(ctx, source)
	if err != nil {
		return err
	}
	files["go.mod"] = needed.goMod(path, source)
	sums, err := os.ReadFile(filepath.Join(source, "go.sum")) // more than needed is harmless
	if err != nil {
		return fmt.Errorf("read the checksums of the SDK's dependencies: %w", err)
	}
	files["go.sum"] = string(sums)
	return nil
}

// requirement is what the skeleton needs besides the SDK.
type requirement struct {
	goVersion        string
	direct, indirect map[string]string // versions by module path
}

// listed is what the go command tells of a package.
type listed struct {
	ImportPath           string
	Imports, TestImports []string
	Module               *struct {
		Path, Version, GoVersion string
		Main                     bool
	}
}

// requirements asks the go command for the modules of the packages that the skeleton is built and
// tested with.
func requirements(ctx context.Context, source string) (requirement, error) {
	cmd := exec.CommandContext(ctx, "go", "list", "-deps", "-test", "-json=ImportPath,Imports,TestImports,Module", template.Package)
	cmd.Dir = source
	cmd.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=-mod=readonly")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return requirement{}, fmt.Errorf("ask the go command what the SDK in %s needs: %w\n%s", source, err, bytes.TrimSpace(stderr.Bytes()))
	}
	r := requirement{direct: make(map[string]string), indirect: make(map[string]string)}
	modules := make(map[string]string) // by import path
	var imports []string
	for decoder := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return requirement{}, fmt.Errorf("read what the SDK needs: %w", err)
		}
		switch {
		case p.Module == nil: // the standard library
		case p.ImportPath == template.Package:
			r.goVersion, imports = p.Module.GoVersion, slices.Concat(p.Imports, p.TestImports)
		case !p.Module.Main:
			modules[p.ImportPath] = p.Module.Path
			r.indirect[p.Module.Path] = p.Module.Version
		}
	}
	for _, path := range imports {
		if module, ok := modules[path]; ok {
			r.direct[module] = r.indirect[module]
		}
	}
	maps.DeleteFunc(r.indirect, func(module, _ string) bool { return r.direct[module] != "" })
	return r, nil
}

// goMod is the go.mod of the module path, in the form that the go command gives it.
func (r requirement) goMod(path, source string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "module %s\n\ngo %s\n", path, r.goVersion)
	r.direct[sdkModule] = sdkVersion
	requireBlock(&b, r.direct, "")
	requireBlock(&b, r.indirect, " // indirect")
	if strings.ContainsAny(source, " \t\"'`()[]{},;") {
		source = strconv.Quote(source)
	}
	fmt.Fprintf(&b, "\n// Holdfast has no release yet: this is its source on the machine of the author.\nreplace %s => %s\n", sdkModule, source)
	return b.String()
}

func requireBlock(b *strings.Builder, versions map[string]string, comment string) {
	b.WriteString("\nrequire (\n")
	for _, module := range slices.Sorted(maps.Keys(versions)) {
		fmt.Fprintf(b, "\t%s %s%s\n", module, versions[module], comment)
	}
	b.WriteString(")\n")
}
