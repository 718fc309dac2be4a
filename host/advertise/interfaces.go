package advertise

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
)

// Interface is a network interface of this machine.
type Interface struct {
	Name  string
	Addrs []netip.Addr
	Up    bool
	// DefaultRoute4 and DefaultRoute6 say that the default route of that family, the one
	// of the lowest metric, leaves by this interface.
	DefaultRoute4, DefaultRoute6 bool
}

// Interfaces reads the interfaces of this machine in the kernel's order. Where there
// is no /proc/net, none of them is known to have the default route.
func Interfaces() ([]Interface, error) {
	all, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("list network interfaces: %w", err)
	}
	via4, err := defaultRoute("/proc/net/route", parseRoute4)
	if err != nil {
		return nil, err
	}
	via6, err := defaultRoute("/proc/net/ipv6_route", parseRoute6)
	if err != nil {
		return nil, err
	}
	found := make([]Interface, 0, len(all))
	for _, i := range all {
		addrs, err := i.Addrs()
		if err != nil {
			return nil, fmt.Errorf("list addresses of interface %s: %w", i.Name, err)
		}
		next := Interface{
			Name: i.Name, Up: i.Flags&net.FlagUp != 0,
			DefaultRoute4: i.Name == via4, DefaultRoute6: i.Name == via6,
		}
		for _, addr := range addrs {
			if prefix, err := netip.ParsePrefix(addr.String()); err == nil {
				next.Addrs = append(next.Addrs, prefix.Addr())
			}
		}
		found = append(found, next)
	}
	return found, nil
}

// route is one line of a routing table.
type route struct {
	iface   string
	metric  uint64
	flags   uint64
	catches bool // every destination
}

// Flags of a route: linux/route.h.
const (
	routeUp     = 0x1
	routeReject = 0x200
)

// defaultRoute returns the name of the interface by which the default route of a
// table leaves, or "" if there is no such route, or no such table.
func defaultRoute(path string, parse func(fields []string) (route, bool)) (string, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil // not Linux, or a kernel without this family
	}
	if err != nil {
		return "", fmt.Errorf("read the routing table: %w", err)
	}
	defer f.Close()
	name, err := findDefault(f, parse)
	if err != nil {
		return "", fmt.Errorf("read the routing table %s: %w", path, err)
	}
	return name, nil
}

// findDefault returns the interface of the usable default route of lowest metric.
func findDefault(table io.Reader, parse func(fields []string) (route, bool)) (string, error) {
	var best route
	lines := bufio.NewScanner(table)
	for lines.Scan() {
		r, ok := parse(strings.Fields(lines.Text()))
		if !ok || !r.catches || r.flags&routeUp == 0 || r.flags&routeReject != 0 {
			continue
		}
		if best.iface == "" || r.metric < best.metric {
			best = r
		}
	}
	return best.iface, lines.Err()
}

// parseRoute4 reads a line of /proc/net/route: Iface Destination Gateway Flags RefCnt
// Use Metric Mask ..., numbers in hex but for the metric. The heading is none.
func parseRoute4(fields []string) (route, bool) {
	if len(fields) < 8 {
		return route{}, false
	}
	flags, err1 := strconv.ParseUint(fields[3], 16, 32)
	metric, err2 := strconv.ParseUint(fields[6], 10, 32)
	return route{
		iface: fields[0], metric: metric, flags: flags,
		catches: fields[1] == "00000000" && fields[7] == "00000000",
	}, err1 == nil && err2 == nil
}

// parseRoute6 reads a line of /proc/net/ipv6_route: destination, its prefix length,
// source, its prefix length, next hop, metric, references, use, flags, interface,
// numbers in hex.
func parseRoute6(fields []string) (route, bool) {
	if len(fields) < 10 {
		return route{}, false
	}
	metric, err1 := strconv.ParseUint(fields[5], 16, 32)
	flags, err2 := strconv.ParseUint(fields[8], 16, 32)
	return route{
		iface: fields[9], metric: metric, flags: flags,
		catches: fields[1] == "00" && strings.Trim(fields[0], "0") == "",
	}, err1 == nil && err2 == nil
}
