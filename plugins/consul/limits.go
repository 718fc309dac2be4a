package consul

import (
	"github.com/hashicorp/consul/api"

	"github.com/holdfast/holdfast/sdk/storage"
)

// What a Consul server accepts in one transaction by default. The request limit
// (txn_max_req_len) is on the JSON body, in which values are base64.
const (
	maxRequestBytes = 512 << 10
	maxValueBytes   = 256 << 10 // room for the key, the guard and other ops in the same request
	defaultTxnOps   = 128       // 64 before Consul 1.14
	minTxnOps       = storage.MinOps + 1
)

// opOverhead is the JSON of one operation without its key and value, rounded up:
// field names, two 20-digit numbers, base64 padding, the comma.
const opOverhead = 192

// limits returns what always fits one transaction of at most txnOps operations,
// whatever the shape of the batch: a key takes up to two bytes in the request for
// each of its own (see encodeKey), a value four for every three.
func limits(path string, txnOps int) storage.Limits {
	room := maxRequestBytes - txnOps*(opOverhead+len(path))
	keys := txnOps * storage.MaxKeyBytes // every key as long as can be
	return storage.Limits{
		MaxKeyBytes:   storage.MaxKeyBytes,
		MaxValueBytes: maxValueBytes,
		MaxOps:        txnOps - 1, // the guard is one
		MaxBatchBytes: keys + (room-2*keys)/4*3,
	}
}

// operations translates a batch. The guard, if there is one, comes first.
func (b *Backend) operations(guard *api.KVTxnOp, ops []storage.Op) api.TxnOps {
	txn := make(api.TxnOps, 0, len(ops)+1)
	if guard != nil {
		txn = append(txn, &api.TxnOp{KV: guard})
	}
	for _, op := range ops {
		kv := &api.KVTxnOp{Verb: api.KVSet, Key: b.name(op.Key), Value: op.Value}
		if op.Kind == storage.OpDelete {
			kv.Verb, kv.Value = api.KVDelete, nil
		}
		txn = append(txn, &api.TxnOp{KV: kv})
	}
	return txn
}
