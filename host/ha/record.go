// Package ha decides which node of a cluster is active.
//
// There is one term record in the store. Every write of the active node is a
// Commit guarded by it, so a node that lost its place can not write, whatever it
// believes. The decisions are a pure function, State.Step; Driver runs it
// against a real store and a real clock, and the tests run it in a simulator.
package ha

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// RecordKey is where the term record is kept.
const RecordKey = "hf/term"

// recordFormat is the version of the encoding that this build writes and the
// newest it reads.
const recordFormat = 1

// maxLease is the longest lease that a record may promise: a node that is dead must be
// replaced some time.
const maxLease = time.Hour

// Phase says what the holder of the record does with it.
type Phase string

// The phases of a tenure.
const (
	Held      Phase = "ACTIVE"   // the holder writes, and answers from memory within its lease
	HandedOff Phase = "HANDOFF"  // the holder stopped for good; Target may take over at once
	Released  Phase = "RELEASED" // the holder stopped for good; anyone may take over at once
)

// BatchID names one Commit: unique among all Commits of all nodes, because it is
// made of the instance id and a count.
type BatchID string

// Node is what the record says about a node.
type Node struct {
	ID             string `json:"id"` // instance id: random, new at every unseal
	APIAddress     string `json:"api"`
	ClusterAddress string `json:"cluster"`
}

// Record is the term record. It is stored sealed by the barrier, which shows
// only its key term in clear.
type Record struct {
	Format  int           `json:"format"`
	Cluster string        `json:"cluster"` // id of the cluster
	Epoch   uint64        `json:"epoch"`   // the tenure; one holder each
	Seq     uint64        `json:"seq"`     // one more with every Commit, over all epochs
	Batch   BatchID       `json:"batch"`   // the Commit that wrote this
	Before  BatchID       `json:"before"`  // the last Commit of the previous epoch: tells its holder what became of it
	Holder  Node          `json:"holder"`
	Phase   Phase         `json:"phase"`
	Target  string        `json:"target,omitempty"` // instance id, with HandedOff
	Lease   time.Duration `json:"lease"`            // of the holder, nanoseconds
}

// FirstRecord is the record that initialising a cluster writes: nobody holds it.
func FirstRecord(cluster string) Record {
	return Record{Format: recordFormat, Cluster: cluster, Phase: Released, Batch: "init"}
}

// Encode returns the record's plain text, to be sealed.
func (r Record) Encode() ([]byte, error) {
	r.Format = recordFormat
	return json.Marshal(r)
}

// DecodeRecord is the inverse of Encode. It refuses what it does not
// understand: a newer format, unknown fields, impossible values.
func DecodeRecord(plain []byte) (Record, error) {
	var format struct {
		Format int `json:"format"`
	}
	if err := json.Unmarshal(plain, &format); err != nil {
		return Record{}, fmt.Errorf("decode the term record: %w", err)
	}
	if format.Format != recordFormat {
		return Record{}, fmt.Errorf("decode the term record: format %d, this build knows %d; upgrade this node", format.Format, recordFormat)
	}
	var r Record
	dec := json.NewDecoder(bytes.NewReader(plain))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&r); err != nil {
		return Record{}, fmt.Errorf("decode the term record: %w", err)
	}
	return r, r.validate()
}

func (r Record) validate() error {
	switch {
	case r.Phase != Held && r.Phase != HandedOff && r.Phase != Released:
		return fmt.Errorf("decode the term record: unknown phase %q", r.Phase)
	case r.Phase == Held && (r.Lease <= 0 || r.Holder.ID == ""):
		return fmt.Errorf("decode the term record: held by %q with a lease of %v", r.Holder.ID, r.Lease)
	case r.Phase == HandedOff && r.Target == "":
		return errors.New("decode the term record: handed over to nobody")
	case r.Lease > maxLease:
		return fmt.Errorf("decode the term record: a lease of %v, the longest is %v", r.Lease, maxLease)
	case r.Batch == "":
		return fmt.Errorf("decode the term record: no batch id")
	}
	return nil
}

// olderThan reports whether r was written before s, if both belong to one history.
func (r Record) olderThan(s Record) bool {
	return r.Epoch < s.Epoch || r.Epoch == s.Epoch && r.Seq < s.Seq
}
