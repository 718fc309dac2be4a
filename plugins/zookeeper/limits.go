package zookeeper

import (
	"github.com/go-zookeeper/zk"

	"github.com/holdfast/holdfast/sdk/storage"
)

const (
	// defaultJuteBuffer is jute.maxbuffer as servers have it by default: the longest
	// request they read. They close the connection on a longer one.
	defaultJuteBuffer = 0xfffff
	// minJuteBuffer is what storage.MinOps ops of any shape need.
	minJuteBuffer = 128 << 10
	// maxJuteBuffer is more than the host ever sends.
	maxJuteBuffer = 16 << 20
	// requestReserve is left free in a request, for what a server adds when it passes
	// the request on.
	requestReserve = 2 << 10

	maxOps = 127
	// opOverhead is what one op may take in a request beyond its key and value: the
	// name of its node (seven bytes for three of the key at most), framing, ACL.
	opOverhead = 1792
)

// limits returns what fits a request of at most buffer bytes, whatever the keys. Two
// rare shapes do not and are refused as too large when the batch is put together: many
// keys in as many new directories that are many levels deep, and many deletes of keys
// that do not exist and are near the longest.
func limits(buffer int, most storage.Limits) storage.Limits {
	batch := buffer / 32 * 25
	return storage.Limits{
		MaxKeyBytes:   storage.MaxKeyBytes,
		MaxValueBytes: min(buffer/4*3, most.MaxValueBytes),
		MaxOps:        min(maxOps, (buffer-batch)/opOverhead),
		MaxBatchBytes: min(batch, most.MaxBatchBytes),
	}
}

// Sizes in ZooKeeper's encoding: every text and every array of bytes has a length of four
// bytes in front.
const (
	requestFraming = 4 + 8 + 9 // length, header, end of the ops
	opFraming      = 9
)

// requestSize returns the size of one operation within a multi.
func requestSize(op any) int {
	switch op := op.(type) {
	case *zk.CreateRequest:
		size := opFraming + 4 + len(op.Path) + 4 + len(op.Data) + 4 + 4
		for _, acl := range op.Acl {
			size += 4 + 4 + len(acl.Scheme) + 4 + len(acl.ID)
		}
		return size
	case *zk.SetDataRequest:
		return opFraming + 4 + len(op.Path) + 4 + len(op.Data) + 4
	case *zk.DeleteRequest:
		return opFraming + 4 + len(op.Path) + 4
	case *zk.CheckVersionRequest:
		return opFraming + 4 + len(op.Path) + 4
	}
	panic("unknown kind of zookeeper operation")
}
