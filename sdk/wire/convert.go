package wire

import (
	pb "github.com/holdfast/holdfast/sdk/proto/holdfast/storage/v1"
	"github.com/holdfast/holdfast/sdk/storage"
)

// checkCommit is Limits.CheckBatch and the limits of what travels with the guard.
func checkCommit(l storage.Limits, guard storage.Guard, ops []storage.Op) error {
	if err := checkVersion(guard.Version); err != nil {
		return err
	}
	if len(guard.Prev) > l.MaxValueBytes {
		return &storage.TooLargeError{What: "guard's previous value", Unit: "bytes", Size: len(guard.Prev), Limit: l.MaxValueBytes}
	}
	return l.CheckBatch(&guard, ops)
}

func checkVersion(v storage.Version) error {
	if len(v) > storage.MaxVersionBytes {
		return &storage.TooLargeError{What: "version", Unit: "bytes", Size: len(v), Limit: storage.MaxVersionBytes}
	}
	return nil
}

// An OpKind of the contract has the number of its twin on the wire; an unknown one is
// passed on, for CheckBatch to refuse.
func opsToProto(ops []storage.Op) []*pb.Op {
	out := make([]*pb.Op, len(ops))
	for i, op := range ops {
		out[i] = &pb.Op{Kind: pb.OpKind(op.Kind), Key: op.Key, Value: op.Value}
	}
	return out
}

func opsFromProto(ops []*pb.Op) []storage.Op {
	out := make([]storage.Op, len(ops))
	for i, op := range ops {
		out[i] = storage.Op{Kind: opKindFromProto(op.GetKind()), Key: op.GetKey(), Value: op.GetValue()}
	}
	return out
}

func opKindFromProto(k pb.OpKind) storage.OpKind {
	switch k {
	case pb.OpKind_OP_KIND_PUT:
		return storage.OpPut
	case pb.OpKind_OP_KIND_DELETE:
		return storage.OpDelete
	default:
		return 0
	}
}

func guardToProto(g storage.Guard) *pb.Guard {
	return &pb.Guard{Key: g.Key, Version: []byte(g.Version), Prev: g.Prev, Value: g.Value}
}

func guardFromProto(g *pb.Guard) storage.Guard {
	return storage.Guard{
		Key:     g.GetKey(),
		Version: storage.Version(g.GetVersion()),
		Prev:    g.GetPrev(),
		Value:   g.GetValue(),
	}
}
