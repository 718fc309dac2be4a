package etcd

import (
	"fmt"
	"math"
	"net"
	"net/url"
	"runtime"
	"sync/atomic"
	"testing"

	"github.com/holdfast/holdfast/test/link"
	"github.com/holdfast/holdfast/test/servers"
)

// One page costs what a page costs, whatever the directory holds, and a name costs what a
// name costs, whatever lies below it: in what the server sends, and in memory.
func TestListCostIsOfThePage(t *testing.T) {
	server := servers.Etcd(t)
	line := meter(t, server.Address)
	b := openAt(t, line.address, func(c *Config) { c.Sync = false })
	keys := map[string]bool{"small/last": true, "large/last": true}
	for i := range 100_000 {
		keys[fmt.Sprintf("large/dir/%06d", i)] = true
	}
	for i := range 1_000 {
		keys[fmt.Sprintf("small/dir/%06d", i)] = true
	}
	putAll(t, b, keys)
	for _, paged := range []bool{false, true} {
		b.paged.Store(paged)
		for _, tt := range []struct {
			what, below, after string
			limit, want        int
		}{
			{"the first 100 names", "dir/", "", 100, 100},
			{"100 names further on", "dir/", "000500", 100, 100},
			{"the name of the directory and one more", "", "", 0, 2},
		} {
			spend := func(dir string) spent { return line.cost(t, b, dir+"/"+tt.below, tt.after, tt.limit, tt.want) }
			small, large := spend("small"), spend("large")
			t.Logf("paged %t, %s: of a directory of 1,000 %v; of 100,000 %v", paged, tt.what, small, large)
			// What was under way when a stream was ended counts, too.
			if large.received > 3*small.received+underWay || large.allocated > 3*small.allocated+underWay {
				t.Errorf("paged %t, %s cost %v where the directory has 100,000, want about the %v of 1,000", paged, tt.what, large, small)
			}
		}
	}
	// The meter can tell: a whole directory does cost more.
	b.paged.Store(false)
	small, large := line.cost(t, b, "small/dir/", "", 0, 1_000), line.cost(t, b, "large/dir/", "", 0, 100_000)
	if large.received < 20*small.received || large.allocated < 20*small.allocated {
		t.Errorf("all names of 100,000 cost %v, of 1,000 %v: this does not measure the size of a directory", large, small)
	}
}

// underWay is some windows of HTTP/2, and far less than the 3.6 MiB that all names of a
// directory of 100,000 are.
const underWay = 256 << 10

type spent struct {
	received  int64 // bytes, from the server
	allocated int64 // bytes
}

func (s spent) String() string {
	return fmt.Sprintf("%.1f KiB received, %.1f KiB allocated", float64(s.received)/1024, float64(s.allocated)/1024)
}

// metered is a way to a server that counts what comes back.
type metered struct {
	address  string
	received atomic.Int64 // bytes
}

// cost measures one List, with the etcd client and gRPC all that allocates: the least of
// some attempts.
func (m *metered) cost(t *testing.T, b declared, prefix, after string, limit, want int) spent {
	t.Helper()
	const attempts = 10
	least := spent{math.MaxInt64, math.MaxInt64}
	for range attempts {
		var before, now runtime.MemStats
		received := m.received.Load()
		runtime.ReadMemStats(&before)
		names, err := b.List(t.Context(), prefix, after, limit)
		runtime.ReadMemStats(&now)
		// A request behind it: what the server had sent of the answer has arrived by then.
		if _, err := b.revision(t.Context(), b.name("none")); err != nil {
			t.Fatal(err)
		}
		received = m.received.Load() - received
		if err != nil || len(names) != want {
			t.Fatalf("list %s: %d names, %v, want %d", prefix, len(names), err, want)
		}
		least = spent{min(least.received, received), min(least.allocated, int64(now.TotalAlloc-before.TotalAlloc))}
	}
	return least
}

// meter puts a counter between the test and the server at address.
func meter(t *testing.T, address string) *metered {
	t.Helper()
	target, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	m := &metered{address: "http://" + listener.Addr().String()}
	link.Relay(t, listener, target.Host, m)
	return m
}

// Write counts.
func (m *metered) Write(p []byte) (int, error) {
	m.received.Add(int64(len(p)))
	return len(p), nil
}
