package chaos

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfast/holdfast/test/history"
)

// object is one object that clients work on, and its history.
type object struct {
	path  string // below /v1/, without the mount
	model history.Model
	next  func(o *object, r *rand.Rand, value int) request

	version atomic.Int64 // newest that anybody heard of, if it is a versioned one
	illegal bool         // of the checker alone; it was found not to be linearizable

	mu      sync.Mutex
	ops     []history.Op // guarded by mu
	unknown int          // guarded by mu; writes
	added   int          // guarded by mu; elements, if it is a set
	present []int        // guarded by mu; elements known to be added and not removed yet
}

// request is one operation as it is sent.
type request struct {
	input        any
	method, path string
	body         string
	decode       func(status int, body []byte) (output any, err error) // of an answer that is not 503 or 504
	acknowledged func()                                                // if not nil: called when a write was made
}

// errAnswer: the answer is none that the operation may get.
var errAnswer = errors.New("the answer must not be")

func unexpected(status int, body []byte) error {
	return fmt.Errorf("%w: status %d, %.300s", errAnswer, status, body)
}

// made decodes the answer to a write without anything to say.
func made(status int, body []byte) (any, error) {
	if status != http.StatusNoContent && status != http.StatusOK {
		return nil, unexpected(status, body)
	}
	return nil, nil //nolint:nilnil // the output of a blind write
}

// absent reports whether the answer says that there is nothing, rather than that
// something is missing which must be there, such as the mount.
func absent(status int, body []byte) bool {
	var answer struct{ Errors []string }
	return status == http.StatusNotFound && json.Unmarshal(body, &answer) == nil && len(answer.Errors) == 0
}

// newRegister is a key in the mount of version 1.
func newRegister(path string) *object {
	return &object{path: path, model: history.Register(), next: func(o *object, r *rand.Rand, value int) request {
		if value != 0 && r.IntN(3) == 0 {
			return request{
				input: history.Write{Value: value}, method: http.MethodPut, path: "one/" + o.path,
				body: fmt.Sprintf(`{"v":%d}`, value), decode: made,
			}
		}
		return request{input: history.Read{}, method: http.MethodGet, path: "one/" + o.path, decode: decodeRegister}
	}}
}

func decodeRegister(status int, body []byte) (any, error) {
	if absent(status, body) {
		return 0, nil
	}
	var answer struct{ Data struct{ V int } }
	if status != http.StatusOK || json.Unmarshal(body, &answer) != nil || answer.Data.V == 0 {
		return nil, unexpected(status, body)
	}
	return answer.Data.V, nil
}

// newVersioned is a key in the mount of version 2, which is written by check-and-set only.
func newVersioned(path string) *object {
	return &object{path: path, model: history.Versioned(), next: func(o *object, r *rand.Rand, value int) request {
		if value != 0 && r.IntN(2) == 0 {
			w := history.Replace{Version: int(o.version.Load()), Value: value}
			return request{
				input: w, method: http.MethodPut, path: "two/data/" + o.path,
				body:   fmt.Sprintf(`{"options":{"cas":%d},"data":{"v":%d}}`, w.Version, value),
				decode: func(status int, body []byte) (any, error) { return o.decodeReplace(w, status, body) },
			}
		}
		return request{input: history.Read{}, method: http.MethodGet, path: "two/data/" + o.path, decode: o.decodeRevision}
	}}
}

func (o *object) decodeReplace(w history.Replace, status int, body []byte) (any, error) {
	if status == http.StatusBadRequest && strings.Contains(string(body), "check-and-set parameter did not match") {
		return history.Mismatch{}, nil
	}
	var answer struct{ Data struct{ Version int } }
	if status != http.StatusOK || json.Unmarshal(body, &answer) != nil || answer.Data.Version == 0 {
		return nil, unexpected(status, body)
	}
	o.heard(answer.Data.Version)
	return history.Revision{Version: answer.Data.Version, Value: w.Value}, nil
}

func (o *object) decodeRevision(status int, body []byte) (any, error) {
	if absent(status, body) {
		return history.Revision{}, nil
	}
	var answer struct {
		Data struct {
			Data     struct{ V int }
			Metadata struct{ Version int }
		}
	}
	if status != http.StatusOK || json.Unmarshal(body, &answer) != nil || answer.Data.Metadata.Version == 0 {
		return nil, unexpected(status, body)
	}
	o.heard(answer.Data.Metadata.Version)
	return history.Revision{Version: answer.Data.Metadata.Version, Value: answer.Data.Data.V}, nil
}

func (o *object) heard(version int) {
	for {
		known := o.version.Load()
		if int64(version) <= known || o.version.CompareAndSwap(known, int64(version)) {
			return
		}
	}
}

// newSet is a directory in the mount of version 1. Its elements are keys.
func newSet(path string) *object {
	return &object{path: path, model: history.Set(), next: func(o *object, r *rand.Rand, value int) request {
		if value != 0 {
			switch r.IntN(4) {
			case 0:
				if w, ok := o.add(); ok {
					return w
				}
			case 1:
				if w, ok := o.remove(r); ok {
					return w
				}
			}
		}
		return request{input: history.Read{}, method: "LIST", path: "one/" + o.path, decode: decodeMembers}
	}}
}

func (o *object) add() (request, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.added == history.Elements {
		return request{}, false
	}
	element := o.added
	o.added++
	return request{
		input: history.Add{Element: element}, method: http.MethodPut, path: o.element(element), body: `{"x":1}`, decode: made,
		acknowledged: func() {
			o.mu.Lock()
			defer o.mu.Unlock()
			o.present = append(o.present, element)
		},
	}, true
}

func (o *object) remove(r *rand.Rand) (request, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.present) == 0 {
		return request{}, false
	}
	i := r.IntN(len(o.present))
	element := o.present[i]
	o.present = append(o.present[:i], o.present[i+1:]...)
	return request{input: history.Remove{Element: element}, method: http.MethodDelete, path: o.element(element), decode: made}, true
}

func (o *object) element(i int) string { return fmt.Sprintf("one/%s/%d", o.path, i) }

func decodeMembers(status int, body []byte) (any, error) {
	if absent(status, body) {
		return history.Members(0), nil
	}
	var answer struct{ Data struct{ Keys []string } }
	if status != http.StatusOK || json.Unmarshal(body, &answer) != nil {
		return nil, unexpected(status, body)
	}
	var m history.Members
	for _, key := range answer.Data.Keys {
		element, err := strconv.Atoi(key)
		if err != nil || element < 0 || element >= history.Elements {
			return nil, unexpected(status, body)
		}
		m |= 1 << element
	}
	return m, nil
}

// note takes down an operation that has run, or may have.
func (o *object) note(op history.Op) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.ops = append(o.ops, op)
	if op.Unknown {
		o.unknown++
	}
}

// history returns what was noted so far.
func (o *object) history() []history.Op {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clip(o.ops)
}

func (o *object) unknowns() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.unknown
}

// deletions are the requests that remove the object.
func (o *object) deletions() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	paths := []string{"one/" + o.path, "two/metadata/" + o.path}
	for i := range o.added {
		paths = append(paths, o.element(i))
	}
	return paths
}

// caller sends requests to one node, each once.
type caller struct {
	id      int
	node    *node
	address string // host:port
	http    *http.Client
	root    string
}

// clientPatience is far more than the server takes to answer any request with a 504.
const (
	requestDuration = 8 * time.Second
	clientPatience  = 30 * time.Second
)

// newCaller returns a client of a node, through the link.
func (c *cluster) newCaller(id int, n *node) *caller {
	return &caller{id: id, node: n, address: n.clients.Addr(), root: c.root, http: &http.Client{
		Transport: &http.Transport{DisableCompression: true}, Timeout: clientPatience,
	}}
}

// send sends a request and returns the answer.
func (c *caller) send(ctx context.Context, r request, strict bool) (status int, body []byte, err error) {
	req, err := http.NewRequestWithContext(ctx, r.method, "http://"+c.address+"/v1/"+r.path, strings.NewReader(r.body))
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("X-Vault-Token", c.root)
	if strict {
		req.Header.Set("X-Holdfast-Consistency", "strict")
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	body, err = io.ReadAll(resp.Body)
	return resp.StatusCode, body, err
}
