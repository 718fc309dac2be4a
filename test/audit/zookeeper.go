package audit

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// ZooKeeper reads the transaction logs that the servers have written, when ctx has ended.
// Each directory is the dataDir of a server. What fewer than a majority of them have in
// their logs may never have been committed, and is not judged.
func ZooKeeper(dataDirs ...string) Follower {
	return func(ctx context.Context, a *Audit) error {
		<-ctx.Done()
		servers := make([]*zkServer, len(dataDirs))
		for i, dir := range dataDirs {
			next, stop := iter.Pull2(zkTransactions(dir))
			defer stop()
			servers[i] = &zkServer{pull: next}
			servers[i].advance()
		}
		for {
			var at *zkServer // one of those with the lowest number
			holders := 0
			for _, s := range servers {
				switch {
				case s.err != nil:
					return s.err
				case s.ended || at != nil && s.next.number > at.next.number:
				case at != nil && s.next.number == at.next.number:
					holders++
				default:
					at, holders = s, 1
				}
			}
			if at == nil {
				return nil
			}
			txn := at.next
			if 2*holders > len(servers) {
				a.transaction(fmt.Sprintf("%#x", txn.number), txn.changes)
			}
			for _, s := range servers {
				if !s.ended && s.next.number == txn.number {
					s.advance()
				}
			}
		}
	}
}

// zkServer is how far the logs of one server were read.
type zkServer struct {
	pull  func() (zkTransaction, error, bool)
	next  zkTransaction
	err   error
	ended bool
}

func (s *zkServer) advance() {
	var more bool
	s.next, s.err, more = s.pull()
	s.ended = !more
}

// zkTransaction is one that succeeded.
type zkTransaction struct {
	number  uint64
	changes map[string][]byte
}

// zkTransactions reads the logs of one server. It may lack some in between: a server that was
// away for long gets a snapshot instead.
func zkTransactions(dir string) iter.Seq2[zkTransaction, error] {
	return func(yield func(zkTransaction, error) bool) {
		paths, err := zkLogs(dir)
		for _, path := range paths {
			var log *os.File
			if log, err = os.Open(path); err != nil {
				break
			}
			var more bool
			more, err = zkLog(bufio.NewReader(log), yield)
			_ = log.Close()
			if !more {
				return
			}
			if err != nil {
				err = fmt.Errorf("read %s: %w", path, err)
				break
			}
		}
		if err != nil {
			yield(zkTransaction{}, err)
		}
	}
}

// zkLogs returns the logs of a server, in order: their names are the number of their first
// transaction.
func zkLogs(dir string) ([]string, error) {
	paths, err := filepath.Glob(filepath.Join(dir, "version-2", "log.*"))
	if err != nil {
		return nil, err
	}
	if len(paths) == 0 {
		return nil, fmt.Errorf("%s has no transaction logs", dir)
	}
	first := make(map[string]uint64)
	for _, path := range paths {
		if first[path], err = strconv.ParseUint(strings.TrimPrefix(filepath.Ext(path), "."), 16, 64); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
	}
	slices.SortFunc(paths, func(a, b string) int { return cmp.Compare(first[a], first[b]) })
	return paths, nil
}

// Types of requests in a transaction log (org.apache.zookeeper.ZooDefs.OpCode).
const (
	zkFailed  = -1
	zkCreate  = 1
	zkDelete  = 2
	zkSetData = 5
	zkMulti   = 14
)

const (
	zkLogMagic = 0x5a4b4c47 // "ZKLG"
	maxRecord  = 64 << 20   // longer than any that the servers take
)

// zkLog reads one log: a header, then for each transaction a checksum, its length, itself and
// a mark. The rest of the file is zeros, or what was being written when the server was
// killed. It returns false if yield did.
func zkLog(in io.Reader, yield func(zkTransaction, error) bool) (more bool, err error) {
	header := make([]byte, 16)
	if _, err := io.ReadFull(in, header); err != nil {
		return true, nil //nolint:nilerr // the server was killed just then
	}
	if magic := number(header[:4]); magic != zkLogMagic {
		return true, fmt.Errorf("it begins with %#x, want %#x", magic, zkLogMagic)
	}
	for {
		record := readRecord(in)
		if record == nil {
			return true, nil
		}
		txn := &jute{rest: record}
		txn.skip(12) // session and its count of requests
		next := zkTransaction{number: number(txn.skip(8)), changes: map[string][]byte{}}
		txn.skip(8) // time
		succeeded := txn.request(txn.int32(), next.changes)
		if txn.short {
			return true, fmt.Errorf("transaction %#x is cut short", next.number)
		}
		if succeeded && !yield(next, nil) {
			return false, nil
		}
	}
}

// readRecord returns the next transaction, nil at the end of what was written.
func readRecord(in io.Reader) []byte {
	head := make([]byte, 12)
	if _, err := io.ReadFull(in, head); err != nil {
		return nil
	}
	length := number(head[8:])
	if length == 0 || length > maxRecord {
		return nil
	}
	record := make([]byte, length+1)
	if _, err := io.ReadFull(in, record); err != nil || record[length] != 'B' {
		return nil
	}
	return record[:length]
}

// jute decodes ZooKeeper's serialisation. After the end it yields zeros, and short is set.
type jute struct {
	rest  []byte
	short bool
}

func (j *jute) skip(n int) []byte {
	if n < 0 || n > len(j.rest) {
		j.short, j.rest = true, nil
		return make([]byte, min(max(n, 0), 8))
	}
	part := j.rest[:n]
	j.rest = j.rest[n:]
	return part
}

func (j *jute) int32() int32   { return int32(number(j.skip(4))) }
func (j *jute) buffer() []byte { return j.skip(int(j.int32())) }

func number(bigEndian []byte) (n uint64) {
	for _, b := range bigEndian {
		n = n<<8 | uint64(b)
	}
	return n
}

// request adds what a request changes. It returns false if the request failed.
func (j *jute) request(kind int32, changes map[string][]byte) bool {
	switch kind {
	case zkFailed:
		return false
	case zkCreate, zkSetData:
		key, ok := zkKey(string(j.buffer()))
		value := zkValue(j.buffer())
		if ok {
			changes[key] = value
		}
	case zkDelete:
		if key, ok := zkKey(string(j.buffer())); ok {
			changes[key] = nil
		}
	case zkMulti:
		for range j.int32() {
			kind := j.int32()
			part := &jute{rest: j.buffer()}
			if !part.request(kind, changes) {
				return false
			}
			j.short = j.short || part.short
		}
	}
	return true
}

// zkKey returns the key whose value is at path: directories begin with a plus, and only the
// last name, with an equals sign. Other nodes hold nothing.
func zkKey(path string) (key string, ok bool) {
	rest, ok := strings.CutPrefix(path, "/"+strings.TrimSuffix(home, "/")+"/")
	if !ok {
		return "", false
	}
	names := strings.Split(rest, "/")
	for i, name := range names {
		mark := "+"
		if i == len(names)-1 {
			mark = "="
		}
		if names[i], ok = strings.CutPrefix(name, mark); !ok {
			return "", false
		}
	}
	return strings.Join(names, "/"), true
}

const zkWitness = 26 // bytes of a witness before the value of a record that guards

// zkValue takes off what the plugin puts before a value: one byte, and after 2 a witness.
func zkValue(data []byte) []byte {
	switch {
	case len(data) > zkWitness && data[0] == 2:
		return data[1+zkWitness:]
	case len(data) > 0:
		return data[1:]
	}
	return []byte{}
}
