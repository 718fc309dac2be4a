package conformance

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	hostplugin "github.com/holdfast/holdfast/host/plugin"
	"github.com/holdfast/holdfast/sdk/storage"
	"github.com/holdfast/holdfast/test/harness"
)

const (
	lanes       = 24 // sequences at once, each below a directory of its own
	callsByLane = 900
	// differentialSeed decides every sequence: all plugins get the same ones, but for sizes
	// around their limits.
	differentialSeed = 20240607
)

// behavesAsTheModel checks that whatever is asked, in whatever order, the plugin gives the
// answers of the model. A process that is replaced in the middle may have lost data, and answers
// of calls: then nothing was compared.
func behavesAsTheModel(t *testing.T, s store, config map[string]string) {
	nodes := openNodes(t, s, config)
	began := time.Now()
	var calls atomic.Int64
	var group sync.WaitGroup
	all := make([]*lane, lanes)
	for i := range all {
		l := newLane(t, nodes, i)
		all[i] = l
		group.Go(func() {
			for range callsByLane {
				if !l.step() {
					return
				}
				calls.Add(1)
			}
		})
	}
	group.Wait()
	outages := 0
	for _, l := range all {
		outages += l.outages
	}
	t.Logf("%d calls in %v; the store was away for %d of them", calls.Load(), time.Since(began).Round(time.Millisecond), outages)
	for _, node := range nodes {
		if info := node.Info(); info.Restarts > 0 {
			t.Errorf("the plugin's process was replaced %d times, the last time because of: %v. What it kept in its memory is gone, and "+
				"calls in flight were lost: the differences above say nothing about its answers", info.Restarts, info.LastError)
		}
	}
	if calls.Load() < 20_000 && !t.Failed() {
		t.Errorf("compared %d calls, want at least 20,000", calls.Load())
	}
	wantEveryAnswer(t, all)
}

// wantEveryAnswer checks that the sequences brought about every kind of answer often enough to
// mean something.
func wantEveryAnswer(t *testing.T, all []*lane) {
	t.Helper()
	answers := map[string]int{}
	for _, l := range all {
		for answer, count := range l.answers {
			answers[answer] += count
		}
	}
	t.Logf("answers: %v", answers)
	for _, want := range []error{
		nil, storage.ErrNotFound, storage.ErrConflict, storage.ErrTooLarge, storage.ErrInvalidKey, storage.ErrUnsupported,
	} {
		if answer := class(want); answers[answer] < 20 && !t.Failed() {
			t.Errorf("got %q %d times, want 20 at least", answer, answers[answer])
		}
	}
}

// openNodes starts two processes of the plugin, or one where the data is in it.
func openNodes(t *testing.T, s store, config map[string]string) []*hostplugin.Storage {
	t.Helper()
	options := map[string]any{}
	for name, value := range config {
		options[name] = value
	}
	var nodes []*hostplugin.Storage
	for range 2 {
		node, err := harness.OpenPlugin(t, s.name, options)
		if err != nil {
			t.Fatal(err)
		}
		nodes = append(nodes, node)
		if s.kind == "process" {
			break
		}
	}
	return nodes
}

// lane is one sequence of calls and what the model says of them.
type lane struct {
	t      *testing.T
	nodes  []*hostplugin.Storage
	number int
	rng    *rand.Rand
	dir    string // ends in "/"
	limits storage.Limits
	pool   []string // the keys it uses
	model  *model
	calls  int
	// answers counts how calls ended, by sentinel; outages how often a call was made again.
	answers map[string]int
	outages int
}

func newLane(t *testing.T, nodes []*hostplugin.Storage, number int) *lane {
	l := &lane{
		t: t, nodes: nodes, number: number, rng: rand.New(rand.NewPCG(differentialSeed, uint64(number))),
		dir: fmt.Sprintf("lane%02d/", number), limits: nodes[0].Capabilities().Limits, model: newModel(),
		answers: map[string]int{},
	}
	for range 40 {
		l.pool = append(l.pool, l.dir+l.name())
	}
	longest := min(l.limits.MaxKeyBytes, storage.MaxKeyBytes)
	l.pool = append(l.pool, l.dir+strings.Repeat("k", longest-len(l.dir)), l.dir+strings.Repeat("k", longest-len(l.dir)-1))
	return l
}

// segments are names that stores like to change, some of which others begin with.
var segments = []string{ //nolint:gochecknoglobals // a constant
	"a", "A", "b", "a b", " a", "a ", "a+b", "a%2Fb", "%", "%41", "~", "~a", "a.", ".a", "...", "a..b", "-", "_", "a-", "a!", "a0",
	"caf\u00e9", "cafe\u0301", "\U0001F600", "\u05d0", "\u202ea", "\ufeff", "\\", "\"", "'", "<&>", "?x=1", "#", "*", "{}", "$a", "|", ":", "@",
}

func (l *lane) name() string {
	depth := 1 + l.rng.IntN(3)
	parts := make([]string, depth)
	for i := range parts {
		parts[i] = segments[l.rng.IntN(len(segments))]
		if i == 0 { // few, so that keys have keys below them
			parts[i] = segments[l.rng.IntN(8)]
		}
	}
	return strings.Join(parts, "/")
}

func (l *lane) key() string { return l.pool[l.rng.IntN(len(l.pool))] }

// step makes one random call and compares; false ends the lane.
func (l *lane) step() bool {
	l.calls++
	ctx, cancel := context.WithTimeout(l.t.Context(), time.Minute)
	defer cancel()
	var difference string
	switch n := l.rng.IntN(100); {
	case n < 30:
		difference = l.get(ctx, l.anyKey())
	case n < 50:
		difference = l.list(ctx)
	case n < 75:
		difference = l.write(ctx)
	case n < 95:
		difference = l.commit(ctx)
	default:
		difference = l.watch(ctx)
	}
	if difference != "" {
		l.t.Errorf("lane %d, call %d: %s", l.number, l.calls, difference)
	}
	return difference == ""
}

func (l *lane) node() *hostplugin.Storage { return l.nodes[l.rng.IntN(len(l.nodes))] }

// anyKey is a key of the lane, seldom one that is none.
func (l *lane) anyKey() string {
	if l.rng.IntN(30) > 0 {
		return l.key()
	}
	bad := []string{"", "/", l.dir, l.dir + "/a", l.dir + "..", l.dir + "./a", l.dir + "a\x00", l.dir + "\xff", l.dir + strings.Repeat("k", 1024)}
	return bad[l.rng.IntN(len(bad))]
}

// value is mostly small, and seldom around the limit.
func (l *lane) value() []byte {
	sizes := []int{0, 1, 10, 100, 1000}
	size := sizes[l.rng.IntN(len(sizes))]
	if l.rng.IntN(150) == 0 {
		size = l.limits.MaxValueBytes + l.rng.IntN(3) - 1
	}
	value := make([]byte, size)
	for i := range min(size, 16) {
		value[i] = byte(l.rng.UintN(256))
	}
	return value
}

func (l *lane) batch() []storage.Op {
	ops := make([]storage.Op, 1+l.rng.IntN(4))
	if l.rng.IntN(200) == 0 {
		ops = make([]storage.Op, l.limits.MaxOps+l.rng.IntN(3)-1)
	}
	taken := map[string]bool{}
	for i := range ops {
		key := l.key()
		for tries := 0; taken[key] && (tries < 10 || len(ops) > 10); tries++ {
			key = fmt.Sprintf("%sbatch/%d", l.dir, i)
		}
		if l.rng.IntN(150) == 0 {
			key = l.anyKey() // may be no key, or one of the batch
		}
		taken[key] = true
		ops[i] = storage.Put(key, nil)
		if len(ops) < 10 {
			ops[i].Value = l.value()
		}
		if l.rng.IntN(3) == 0 {
			ops[i] = storage.Delete(key)
		}
	}
	return ops
}
