package etcd

import (
	"strings"

	"go.etcd.io/etcd/api/v3/mvccpb"
)

// scan makes the names of a directory of the keys below it, which come in byte order.
type scan struct {
	dir   string // what is listed, as etcd has it; ends in a slash
	end   string // the first key behind it
	limit int    // most names; 0 or less for all
	size  int64  // keys to ask for, where they come in pages

	from  string // the first key that may give a further name
	names []string
	done  bool // there are no further names, or enough
}

func newScan(dir, after string, limit int) *scan {
	s := &scan{dir: dir, end: strings.TrimSuffix(dir, "/") + afterSlash, limit: limit, size: maxPage, from: dir, names: []string{}}
	if after != "" {
		s.from = s.behind(after)
	}
	return s
}

// afterSlash is the byte that follows '/'.
const afterSlash = "0"

// behind returns the first key that may give a name after the one given. The keys of a
// directory follow one another and end before the key that has the next byte in place
// of its slash; no other name lies among them.
func (s *scan) behind(name string) string {
	if below, _, ok := strings.Cut(name, "/"); ok {
		return s.dir + below + afterSlash
	}
	return s.dir + name + "\x00"
}

// take adds the names that keys give and returns how many these are.
func (s *scan) take(keys []*mvccpb.KeyValue) (found int) {
	for _, kv := range keys {
		key := string(kv.Key)
		if key < s.from { // in a directory whose name was added
			continue
		}
		name := strings.TrimPrefix(key, s.dir)
		if name == "" { // something else has made the directory itself a key
			s.from = key + "\x00"
			continue
		}
		if at := strings.IndexByte(name, '/'); at >= 0 {
			name = name[:at+1]
		}
		s.names = append(s.names, name)
		s.from = s.behind(name)
		found++
		if len(s.names) == s.limit {
			s.done = true
			break
		}
	}
	return found
}
