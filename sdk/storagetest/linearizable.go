package storagetest

import (
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/holdfast/holdfast/sdk/storage"
)

// How many clients take part in the linearizability check, and what each does.
const (
	clients       = 8
	callsByClient = 40
)

// call is the input of one operation on the guard and result its output.
type call struct {
	commit bool // else a get
	at     storage.Version
	value  string
}

type result struct {
	conflict bool
	state    state // after a commit that succeeded; what a get returned
}

// state is the guard as the model has it. The zero state is an absent key.
type state struct {
	version storage.Version
	value   string
}

// register is a key that is read and moved on by comparing its version.
var register = porcupine.Model{
	Init: func() any { return state{} },
	Step: func(s, in, out any) (bool, any) {
		now, c, r := s.(state), in.(call), out.(result) //nolint:errcheck // the history below holds nothing else
		switch {
		case !c.commit:
			return r.state == now, now
		case r.conflict:
			return c.at != now.version, now
		default:
			return c.at == now.version, r.state
		}
	},
	DescribeOperation: func(in, out any) string { return fmt.Sprintf("%+v -> %+v", in, out) },
}

// linearizable records what clients that race on one guard see, and asks porcupine
// whether any one order of it explains everything.
func linearizable(t *testing.T, s haStore) {
	var (
		mu      sync.Mutex // guards history
		history []porcupine.Operation
		group   sync.WaitGroup
	)
	start := time.Now()
	for id := range clients {
		client := haStore{store{Backend: s.another(), dir: s.dir}}
		group.Go(func() {
			var known state
			for i := range callsByClient {
				c := call{commit: i%3 != 0, at: known.version, value: fmt.Sprintf("%d.%d", id, i)}
				began := time.Since(start)
				r, err := client.do(t, c, known)
				if err != nil {
					t.Errorf("client %d: %v", id, err)
					return
				}
				mu.Lock()
				history = append(history, porcupine.Operation{
					ClientId: id, Input: c, Output: r, Call: began.Nanoseconds(), Return: time.Since(start).Nanoseconds(),
				})
				mu.Unlock()
				if !r.conflict {
					known = r.state
				}
			}
		})
	}
	group.Wait()
	if t.Failed() {
		return
	}
	verdict, info := porcupine.CheckOperationsVerbose(register, history, time.Minute)
	if verdict != porcupine.Ok { // undecided in time is a failure too
		path := filepath.Join(t.ArtifactDir(), "history.html")
		t.Errorf("history of %d calls is %s, see %s (%v)", len(history), verdict, path, porcupine.VisualizePath(register, info, path))
	}
}

func (s haStore) do(t *testing.T, c call, known state) (result, error) {
	if !c.commit {
		item, err := s.Get(t.Context(), s.dir+"guard")
		if errors.Is(err, storage.ErrNotFound) {
			return result{}, nil
		}
		return result{state: state{item.Version, string(item.Value)}}, err
	}
	version, err := s.ha().Commit(t.Context(), s.guard(c.at, known.value, c.value), nil)
	if errors.Is(err, storage.ErrConflict) {
		return result{conflict: true}, nil
	}
	return result{state: state{version, c.value}}, err
}
