package chaos

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/test/harness"
)

// starved is how long the active node gets no new file descriptors: several leases.
const starved = 5 * time.Second

// TestActiveNodeOutOfDescriptors opens connections to the active node until it has no file
// descriptors left. It can not answer those who come then; it must stay active, and go on
// for everybody else: what it needs for that it has open.
func TestActiveNodeOutOfDescriptors(t *testing.T) {
	c := newCluster(t, kinds()[1], "")
	i := c.active(t.Context())
	active, standby := c.nodes[i], c.nodes[(i+1)%size]
	epoch := c.epoch(t.Context(), i)
	put := func(n *node, value int) error {
		caller := c.newCaller(0, n)
		defer caller.http.CloseIdleConnections()
		r := request{method: http.MethodPut, path: "one/starved", body: fmt.Sprintf(`{"v":%d}`, value)}
		status, body, err := caller.send(t.Context(), r, false)
		if err == nil {
			_, err = made(status, body)
		}
		return err
	}
	if err := put(standby, 1); err != nil {
		t.Fatal(err)
	}

	relieve := starve(t, active)
	crowd(t, active.Address)
	writes := 1
	for began := time.Now(); time.Since(began) < starved; {
		writes++
		if err := put(standby, writes); err != nil {
			t.Errorf("write %d through a standby: %v", writes, err)
		}
	}
	if now := c.epoch(t.Context(), (i+1)%size); now != epoch {
		t.Errorf("epoch %d is now %d: the active node was replaced", epoch, now)
	}
	relieve()
	harness.Eventually(t, "the active node takes new connections", func() error { return put(active, writes+1) })
	t.Logf("%d writes through a standby", writes)
}

// starve leaves the server of a node the descriptors that it has, and a few more, until
// relieve.
func starve(t *testing.T, n *node) (relieve func()) {
	t.Helper()
	pid := n.Process().PID()
	open, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	if err != nil {
		t.Fatal(err)
	}
	var old unix.Rlimit
	if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, nil, &old); err != nil {
		t.Fatal(os.NewSyscallError("prlimit", err))
	}
	if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: uint64(len(open)) + 5, Max: old.Max}, nil); err != nil {
		t.Fatal(os.NewSyscallError("prlimit", err))
	}
	return func() {
		if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, &old, nil); err != nil {
			t.Fatal(os.NewSyscallError("prlimit", err))
		}
	}
}

// crowd opens more connections than the server has descriptors for. The kernel accepts them
// all.
func crowd(t *testing.T, address string) {
	t.Helper()
	for range 100 {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
	}
}
