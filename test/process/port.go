package process

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
)

// Ports are taken from below the range the kernel hands out to outgoing
// connections, so that none of those can sit on a server's port while it restarts.
const (
	firstPort = 18000
	lastPort  = 31999
)

// FreePorts returns n distinct ports that were free on 127.0.0.1, for TCP and UDP,
// a moment ago. Another process may take one before the server does: the caller
// must be prepared to ask again.
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

// FreeBlock returns the first of n consecutive ports that were free on 127.0.0.1, for
// programs that count on from the port they are told.
func FreeBlock(n int) (int, error) {
	for range 100 {
		first := firstPort + rand.IntN(lastPort-firstPort-n+2)
		if blockFree(first, n) {
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
