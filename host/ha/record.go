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

// The formats of the record. A build that does not know a format does not touch the
// record, so a record is written in the oldest format that can hold it (P10).
const (
	firstFormat      = 1
	generationFormat = 2 // has a Generation: an operator has accepted a restored store
	namedFormat      = 3 // has a Layout, a Protocol and the Release of its holder: all members speak it
)

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
	Release        string `json:"release,omitempty"` // of its software; written from namedFormat on
}

// Record is the term record. It is stored sealed by the barrier, which shows
// only its key term in clear.
type Record struct {
	Format  int    `json:"format"`
	Cluster string `json:"cluster"` // id of the cluster
	// Generation is one more each time that an operator accepts a store that was restored
	// or repaired: what was seen of an earlier one counts no more.
	Generation uint64 `json:"generation,omitempty"`
	Epoch      uint64 `json:"epoch"` // the tenure; one holder each
	// Seq is at least one more with every Commit, over all epochs, and never goes back:
	// nodes tell by it that a store was restored. What is sealed ahead of time, to be
	// written later, needs a Seq that no Commit before it can reach.
	Seq    uint64        `json:"seq"`
	Batch  BatchID       `json:"batch"`  // the Commit that wrote this
	Before BatchID       `json:"before"` // the last Commit of the previous epoch: tells its holder what became of it
	Holder Node          `json:"holder"`
	Phase  Phase         `json:"phase"`
	Target string        `json:"target,omitempty"` // instance id, with HandedOff
	Lease  time.Duration `json:"lease"`            // of the holder, nanoseconds

	// In force, and never lowered; zero until all members speak namedFormat.
	Layout   int `json:"layout,omitempty"`
	Protocol int `json:"protocol,omitempty"`
}

// FirstRecord is the record that initialising a cluster writes: nobody holds it.
func FirstRecord(cluster string) Record {
	return Record{Format: firstFormat, Cluster: cluster, Phase: Released, Batch: "init"}
}

// Encode returns the record's plain text, to be sealed.
func (r Record) Encode() ([]byte, error) {
	return json.Marshal(r.formatted())
}

// formatted returns r with the oldest format that can hold it.
func (r Record) formatted() Record {
	r.Format = firstFormat
	if r.Generation > 0 {
		r.Format = generationFormat
	}
	if r.Layout == 0 && r.Protocol == 0 {
		r.Holder.Release = ""
		return r
	}
	r.Format = namedFormat
	return r
}

// DecodeRecord is the inverse of Encode. It refuses what it does not
// understand: a newer format (ErrNewerFormat), unknown fields, impossible values.
func DecodeRecord(plain []byte) (Record, error) {
	if err := checkFormat(plain); err != nil {
		return Record{}, err
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
	case r.Format != r.formatted().Format:
		return fmt.Errorf("decode the term record: generation %d in format %d", r.Generation, r.Format)
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
