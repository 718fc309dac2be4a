package zookeeper

import (
	"crypto/rand"
	"errors"
	"math"
	"strconv"
	"strings"

	"github.com/go-zookeeper/zk"

	"github.com/holdfast/holdfast/sdk/storage"
)

// What a value node holds begins with a byte that says what follows. A node without it
// is none of ours.
const (
	plainHeader   = 1 // the value
	guardedHeader = 2 // the name of the witness, the value
)

// A witness is a child of a value node that has been the guard of a Commit. Its name is
// random and never used again, so it exists exactly as long as this life of the value
// node: ZooKeeper counts the changes of a node from zero again when the node is deleted
// and created anew, and has no condition on which of its lives a node is in. A Commit
// demands both the count and the witness.
const witnessBytes = 26 // of rand.Text: 130 random bits

func newWitness() string { return rand.Text() }

// plainData is what the node of a key without a witness holds.
func plainData(value []byte) []byte {
	return append([]byte{plainHeader}, value...)
}

// guardedData is what the node of a key with a witness holds.
func guardedData(witness string, value []byte) []byte {
	data := make([]byte, 0, 1+len(witness)+len(value))
	data = append(data, guardedHeader)
	data = append(data, witness...)
	return append(data, value...)
}

// errForeign: the node is in our tree but something else wrote it.
var errForeign = errors.New("a node below path holds something that Holdfast did not write")

// parseData is the inverse of plainData, with an empty witness, and of guardedData.
func parseData(data []byte) (witness string, value []byte, err error) {
	switch {
	case len(data) >= 1 && data[0] == plainHeader:
		return "", data[1:], nil
	case len(data) >= 1+witnessBytes && data[0] == guardedHeader:
		return string(data[1 : 1+witnessBytes]), data[1+witnessBytes:], nil
	}
	return "", nil, errForeign
}

// state is one state of a key, as its Version spells it: the count of changes of the
// value node, and which life of that node it is. That is told by the witness, or, for a
// node that has none yet, by the transaction that created it.
type state struct {
	changes int32
	witness string
	created int64 // czxid; only without a witness
}

func stateOf(witness string, stat *zk.Stat) state {
	if witness != "" {
		return state{changes: stat.Version, witness: witness}
	}
	return state{changes: stat.Version, created: stat.Czxid}
}

// version spells s as WITNESS.CHANGES or zCREATED.CHANGES.
func (s state) version() storage.Version {
	life := s.witness
	if life == "" {
		life = "z" + strconv.FormatInt(s.created, 16)
	}
	return storage.Version(life + "." + strconv.FormatInt(int64(s.changes), 10))
}

// parseVersion is the inverse of version. ok is false for a version that no key can be
// at, and for the zero Version.
func parseVersion(v storage.Version) (s state, ok bool) {
	life, count, found := strings.Cut(string(v), ".")
	n, err := strconv.ParseInt(count, 10, 64)
	if !found || err != nil || n < 0 || n > math.MaxInt32 {
		return state{}, false
	}
	s.changes = int32(n)
	if hex, plain := strings.CutPrefix(life, "z"); plain {
		if s.created, err = strconv.ParseInt(hex, 16, 64); err != nil {
			return state{}, false
		}
	} else {
		s.witness = life
	}
	return s, s.version() == v && validWitness(s.witness)
}

// validWitness keeps a Version that someone made up from naming another node.
func validWitness(name string) bool {
	return name == "" || len(name) == witnessBytes && strings.Trim(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567") == ""
}
