package process

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
)

// Ports are taken from below the range the kernel hands out to outgoing
// connections, so that none of those can sit on a server's port while it restarts.
const (
	firstPort = 18000
	lastPort  = 31999
)

// given holds the ports that were given out. None is given again: tests run in parallel, a
// server may be down for a while, and its port is its own for all that time.
var given struct { //nolint:gochecknoglobals // ports belong to the process as a whole
	mu    sync.Mutex
	ports [lastPort + 1]bool // guarded by mu
}

// reserve takes n ports from first on, if none of them was given before.
func reserve(first, n int) bool {
	given.mu.Lock()
	defer given.mu.Unlock()
	for port := first; port < first+n; port++ {
		if given.ports[port] {
			return false
		}
	}
	for port := first; port < first+n; port++ {
		given.ports[port] = true
	}
	return true
}

// FreePorts returns n distinct ports that were free on 127.0.0.1, for TCP and UDP,
// a moment ago, and that this process did not return before. Another process may take one
// before the server does: the caller must be prepared to ask again.
func FreePorts(n int) ([]int, error) {
	var held []func()
	defer func() {
		for _, release := range held {
			release()
		}
	}()
	ports := make([]int, 0, n)
	for range 100 * n {
		port := firstPort + rand.IntN(lastPort-firstPort+1)
		if !reserve(port, 1) {
			continue // not even looked at, which would be in the way of its server
		}
		release, err := holdPort(port)
		if err != nil {
			continue
		}
		held = append(held, release)
		if ports = append(ports, port); len(ports) == n {
			return ports, nil
		}
	}
	return nil, errors.New("find free ports on 127.0.0.1: all those tried are in use")
}

// holdPort binds port, so that it is not found twice, until release is called.
func holdPort(port int) (release func(), err error) {
	addr := fmt.Sprintf("127.0.0.1:%d", port)
	tcp, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, err
	}
	udp, err := net.ListenPacket("udp", addr)
	if err != nil {
		return nil, errors.Join(err, tcp.Close())
	}
	return func() {
		_ = tcp.Close()
		_ = udp.Close()
	}, nil
}

// FreeBlock is FreePorts for programs that count on from the port they are told: it returns
// the first of n consecutive ports.
func FreeBlock(n int) (int, error) {
	for range 100 {
		first := firstPort + rand.IntN(lastPort-firstPort-n+2)
		if reserve(first, n) && blockFree(first, n) {
			return first, nil
		}
	}
	return 0, fmt.Errorf("find %d free ports in a row on 127.0.0.1: all those tried are in use", n)
}

func blockFree(first, n int) bool {
	for port := first; port < first+n; port++ {
		release, err := holdPort(port)
		if err != nil {
			return false
		}
		defer release() // none of them twice: held until all are seen
	}
	return true
}
