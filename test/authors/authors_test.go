package authors

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/holdfast/holdfast/sdk/template"
	"github.com/holdfast/holdfast/test/harness"
)

// TestGuide does what the guide says, from "plugin new" to a cluster of two nodes.
func TestGuide(t *testing.T) {
	guide := guideBlocks(t)
	s := newSession(t, harness.Holdfast(t))
	began := time.Now()
	for _, b := range guide {
		blockBegan := time.Now()
		switch b.kind {
		case script:
			s.run(b)
			t.Logf("line %d: %v", b.line, time.Since(blockBegan).Round(time.Millisecond))
		case background:
			s.goOn(b)
		case output:
			s.expect(b)
		case newFile:
			path := filepath.Join(s.workDir(), "ha.go")
			if err := os.WriteFile(path, []byte(b.text), 0o600); err != nil {
				t.Fatal(err)
			}
		case prepared: // newSession has done it
		case excerpt: // see below
		default:
			t.Fatalf("line %d of the guide: a block of unknown kind %q", b.line, b.kind)
		}
	}
	t.Logf("the commands of the guide took %v", time.Since(began).Round(time.Second))
	checkExcerpts(t, guide, s.workDir())
}

func guideBlocks(t *testing.T) []block {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(harness.Root(), "docs", "authors", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	all, err := blocks(string(text))
	if err != nil {
		t.Fatalf("docs/authors/README.md: %v", err)
	}
	return all
}

// checkExcerpts compares the Go of the guide with the module that was built.
func checkExcerpts(t *testing.T, guide []block, module string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(module, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	var source strings.Builder
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		source.Write(text)
	}
	// The guide has the author expect high availability in the middle of its way.
	compared := strings.ReplaceAll(source.String(), "storagetest.Txn, storagetest.HA}", "storagetest.Txn}")
	for _, b := range guide {
		if b.kind == excerpt && !strings.Contains(compared, b.text) {
			t.Errorf("line %d of the guide: this Go is not in the module:\n%s", b.line, b.text)
		}
	}
}

// TestGuideHasTheAvailabilityOfTheSkeleton compares the file that the guide adds with the one that is
// built and tested in this repository.
func TestGuideHasTheAvailabilityOfTheSkeleton(t *testing.T) {
	own, err := os.ReadFile(filepath.Join(harness.Root(), "sdk", "template", template.Name, "ha.go"))
	if err != nil {
		t.Fatal(err)
	}
	want, ok := strings.CutPrefix(string(own), "//go:build template_ha\n\n")
	if !ok {
		t.Fatal("ha.go of the skeleton has no build tag")
	}
	for _, b := range guideBlocks(t) {
		if b.kind == newFile && b.text != want {
			t.Errorf("line %d of the guide: ha.go is not that of the skeleton:\n%s", b.line, b.text)
		}
	}
}
