package etcd

import (
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/holdfast/holdfast/sdk/storage"
)

// What an etcd server accepts by default. The request limit (--max-request-bytes) is on
// the transaction as it goes into the log, comparisons included.
const (
	maxRequestBytes = 3 << 19 // 1.5 MiB
	maxValueBytes   = 1 << 20 // room for the key, the guard and other ops in the same request
	defaultTxnOps   = 128
	minTxnOps       = storage.MinOps + 1
	maxTxnOps       = 1024

	// maxPrevBytes is the longest guard value that is sent to be compared. The term record
	// has less than storage.MinValueBytes.
	maxPrevBytes = 4 * storage.MinValueBytes
)

const (
	// opOverhead is the encoding of one operation without its key and value, rounded up:
	// two nested messages, two byte strings, with a tag and a length each.
	opOverhead = 32
	// txnOverhead is the rest of a transaction without keys and values: the comparisons,
	// and the header with the name of the user.
	txnOverhead = 2 << 10
)

// limits returns what always fits one transaction of at most txnOps operations, whatever
// the shape of the batch.
func limits(path string, txnOps int) storage.Limits {
	compared := 2*(len(path)+storage.MaxKeyBytes) + maxPrevBytes // the guard's key twice, its old value
	return storage.Limits{
		MaxKeyBytes:   storage.MaxKeyBytes,
		MaxValueBytes: maxValueBytes,
		MaxOps:        txnOps - 1, // the guard is one
		MaxBatchBytes: maxRequestBytes - txnOverhead - compared - txnOps*(opOverhead+len(path)),
	}
}

// operations translates a batch and puts what is first in front.
func (b *Backend) operations(ops []storage.Op, first ...clientv3.Op) []clientv3.Op {
	translated := first
	for _, op := range ops {
		if op.Kind == storage.OpDelete {
			translated = append(translated, clientv3.OpDelete(b.name(op.Key)))
		} else {
			translated = append(translated, clientv3.OpPut(b.name(op.Key), string(op.Value)))
		}
	}
	return translated
}
