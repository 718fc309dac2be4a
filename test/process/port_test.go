package process_test

import (
	"testing"

	"github.com/holdfast/holdfast/test/process"
)

// Tests run in parallel, and a port seems free while its server restarts.
func TestNoPortIsGivenTwice(t *testing.T) {
	seen := make(map[int]bool)
	see := func(port int) {
		if seen[port] {
			t.Errorf("port %d was given twice", port)
		}
		seen[port] = true
	}
	for range 20 {
		ports, err := process.FreePorts(50)
		if err != nil {
			t.Fatal(err)
		}
		for _, port := range ports {
			see(port)
		}
		const block = 3
		first, err := process.FreeBlock(block)
		if err != nil {
			t.Fatal(err)
		}
		for port := first; port < first+block; port++ {
			see(port)
		}
	}
}
