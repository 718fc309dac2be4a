package main

import (
	"bytes"
	"strconv"

	"github.com/holdfast/holdfast/sdk/storage"
)

// document is what the file holds. One that was read or written is never changed again.
type document struct {
	// Revision counts the changes. It is in the file and only grows, so a key never has
	// the same version twice.
	Revision uint64            `json:"revision"`
	Items    map[string]record `json:"items"`
}

// record is one key's.
type record struct {
	Value    []byte `json:"value"`
	Revision uint64 `json:"revision"` // of the change that put it
}

// version returns the version of key, the zero Version if it is absent.
func (d *document) version(key string) storage.Version {
	item, ok := d.Items[key]
	if !ok {
		return ""
	}
	return storage.Version(strconv.FormatUint(item.Revision, 10))
}

// apply changes d, a document that nobody else has yet. Values are copied: they are the
// caller's.
func (d *document) apply(ops []storage.Op) {
	for _, op := range ops {
		switch op.Kind {
		case storage.OpPut:
			d.Items[op.Key] = record{Value: bytes.Clone(op.Value), Revision: d.Revision}
		case storage.OpDelete:
			delete(d.Items, op.Key)
		}
	}
}
