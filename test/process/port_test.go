package process_test

import (
	"testing"

	"github.com/holdfast/holdfast/test/process"
)

func TestFreePortsAreDistinct(t *testing.T) {
	ports, err := process.FreePorts(50)
	if err != nil {
		t.Fatal(err)
	}
	seen := make(map[int]bool)
	for _, p := range ports {
		if seen[p] {
			t.Errorf("port %d was given twice", p)
		}
		seen[p] = true
	}
}
