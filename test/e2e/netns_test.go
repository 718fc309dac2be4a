package e2e

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// netns is a network namespace of its own: no interface but those a test adds. It has no
// name in the file system, only a descriptor of this process, so it goes away with the
// test process however that ends.
type netns struct {
	t    *testing.T
	file *os.File
}

// newNetns makes a network namespace in which loopback is up.
func newNetns(t *testing.T) *netns {
	t.Helper()
	if _, err := exec.LookPath("ip"); err != nil {
		t.Fatalf("this test sets up network namespaces with the program ip: apt-get install iproute2 (%v)", err)
	}
	n := &netns{t: t}
	err := onOwnThread(func() (err error) {
		if err = unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("make a network namespace, which takes root: %w", err)
		}
		n.file, err = os.Open(fmt.Sprintf("/proc/self/task/%d/ns/net", unix.Gettid()))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = n.file.Close() })
	n.ip("link", "set", "lo", "up")
	return n
}

// onOwnThread runs f on an operating system thread that ends with it, so that what f does
// to the thread concerns nobody else.
func onOwnThread(f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with this goroutine
		done <- f()
	}()
	return <-done
}

// command returns the command line that runs a program in the namespace.
func (n *netns) command(argv ...string) (path string, args []string) {
	n.t.Helper()
	path, err := exec.LookPath("nsenter")
	if err != nil {
		n.t.Fatalf("this test enters network namespaces with the program nsenter: apt-get install util-linux (%v)", err)
	}
	return path, append([]string{fmt.Sprintf("--net=/proc/%d/fd/%d", os.Getpid(), n.file.Fd()), "--"}, argv...)
}

// ip runs the program ip in the namespace.
func (n *netns) ip(args ...string) {
	n.t.Helper()
	path, args := n.command(append([]string{"ip"}, args...)...)
	if out, err := exec.Command(path, args...).CombinedOutput(); err != nil {
		n.t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// addInterface adds one end of a cable, whose other end is up as well, with addresses.
func (n *netns) addInterface(name string, addresses ...string) {
	n.t.Helper()
	peer := name + "-peer"
	n.ip("link", "add", name, "type", "veth", "peer", "name", peer)
	// The other end would give itself a link-local address of the same cable.
	n.ip("link", "set", peer, "addrgenmode", "none")
	n.ip("link", "set", peer, "up")
	n.ip("link", "set", name, "up")
	for _, address := range addresses {
		args := []string{"address", "add", address, "dev", name}
		if strings.Contains(address, ":") {
			args = append(args, "nodad") // usable at once
		}
		n.ip(args...)
	}
}

// DialContext connects from within the namespace. The address must be numeric.
func (n *netns) DialContext(ctx context.Context, network, address string) (conn net.Conn, err error) {
	err = onOwnThread(func() (err error) {
		if err = unix.Setns(int(n.file.Fd()), unix.CLONE_NEWNET); err != nil {
			return err
		}
		// One numeric address: the socket is made on this thread, and stays where it is.
		var dialer net.Dialer
		conn, err = dialer.DialContext(ctx, network, address)
		return err
	})
	return conn, err
}
