package storefaults

import (
	"testing"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/holdfast/holdfast/test/servers"
)

// zookeeperClient connects as an administrator would.
func zookeeperClient(t *testing.T, s *servers.ZooKeeperServer) *zk.Conn {
	t.Helper()
	conn, _, err := zk.Connect([]string{s.Address}, 10*time.Second, zk.WithLogger(silence{}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	return conn
}

// silence drops the messages of ZooKeeper's client.
type silence struct{}

func (silence) Printf(string, ...any) {}
