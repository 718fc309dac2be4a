package chaos

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
)

// dialers knows which node has opened a connection: all nodes dial the address that another
// one advertises, and a partition may be between two of them.
type dialers struct {
	mu   sync.Mutex
	pids map[string]int // guarded by mu; of the servers, by the name of the node
}

// add takes down the process of a node's server.
func (d *dialers) add(name string, pid int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.pids == nil {
		d.pids = map[string]int{}
	}
	d.pids[name] = pid
}

// who returns the name of the node that has the socket with a local address; "" for none.
func (d *dialers) who(address net.Addr) string {
	_, port, err := net.SplitHostPort(address.String())
	if err != nil {
		return ""
	}
	socket, err := socketOf(port)
	if err != nil {
		return ""
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for name, pid := range d.pids {
		descriptors, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
		if err != nil {
			return ""
		}
		for _, fd := range descriptors {
			if link, err := os.Readlink(fd); err == nil && link == socket {
				return name
			}
		}
	}
	return ""
}

// socketOf returns what descriptors of the socket with a local port are links to.
func socketOf(port string) (string, error) {
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return "", err
	}
	table, err := os.ReadFile("/proc/net/tcp")
	if err != nil {
		return "", err
	}
	local := fmt.Sprintf("0100007F:%04X", number) // 127.0.0.1
	for line := range strings.Lines(string(table)) {
		const localAddress, inode = 1, 9
		if fields := strings.Fields(line); len(fields) > inode && fields[localAddress] == local {
			return "socket:[" + fields[inode] + "]", nil
		}
	}
	return "", os.ErrNotExist
}
