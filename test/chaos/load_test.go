package chaos

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfast/holdfast/test/history"
)

const (
	clientsPerNode = 4
	thinkTime      = 15 * time.Millisecond // between two operations of a client, so that the test itself does not wear the machine out

	// A history of a few hundred operations is checked in no time; of a few thousand,
	// with some unknown writes, never. So clients go on to new objects after a while.
	opsPerObject     = 200
	unknownPerObject = 12
	// keptGenerations are read once more and removed when as many newer ones are closed:
	// several faults later.
	keptGenerations = 20
)

// generation is a number of objects that clients work on at the same time.
type generation struct {
	number  int
	objects []*object

	begun    int  // guarded by load.mu; operations
	inFlight int  // guarded by load.mu
	closed   bool // guarded by load.mu; no operation begins any more
}

func newGeneration(number int) *generation {
	path := func(name string) string { return fmt.Sprintf("g%d/%s", number, name) }
	return &generation{number: number, objects: []*object{
		newRegister(path("r1")), newRegister(path("r2")), newVersioned(path("v1")), newVersioned(path("v2")), newSet(path("s")),
	}}
}

// full reports whether clients should go on to the next generation. load.mu is held.
func (g *generation) full() bool {
	return g.begun >= opsPerObject*len(g.objects) ||
		slices.ContainsFunc(g.objects, func(o *object) bool { return o.unknowns() >= unknownPerObject })
}

// load is clients who read and write through all nodes, each one operation at a time.
type load struct {
	cluster *cluster
	report  *report
	began   time.Time
	values  atomic.Int64
	finish  chan *generation // closed ones, without operations in flight

	mu      sync.Mutex
	current *generation // guarded by mu
}

func newLoad(c *cluster, r *report) *load {
	return &load{cluster: c, report: r, began: time.Now(), finish: make(chan *generation), current: newGeneration(1)}
}

// run works until ctx ends, and closes finish when all operations have returned.
func (l *load) run(ctx context.Context, seed uint64) {
	var clients sync.WaitGroup
	for id := range clientsPerNode * size {
		clients.Go(func() {
			c := l.cluster.newCaller(id, l.cluster.nodes[id%size])
			defer c.http.CloseIdleConnections()
			l.client(ctx, c, rand.New(rand.NewPCG(seed, uint64(id))))
		})
	}
	clients.Wait()
	l.mu.Lock()
	last := l.current
	l.mu.Unlock()
	l.finish <- last
	close(l.finish)
}

// client does one operation after another. The first one of each node only reads, and never
// strictly: when a node is cut off, whoever writes through it is soon waiting for an answer,
// and only a reader finds out whether it answers what is stale. The others do everything.
func (l *load) client(ctx context.Context, c *caller, r *rand.Rand) {
	reader := c.id < size
	pause := time.NewTicker(thinkTime)
	defer pause.Stop()
	for {
		select {
		case <-pause.C:
		case <-ctx.Done():
			return
		}
		g := l.begin()
		o := g.objects[r.IntN(len(g.objects))]
		value := 0
		if !reader {
			value = int(l.values.Add(1))
		}
		// What is under way when ctx ends is waited for: its outcome counts.
		l.one(context.WithoutCancel(ctx), c, o, o.next(o, r, value), !reader && r.IntN(4) == 0)
		l.end(g)
	}
}

// begin returns the present generation, and counts an operation on it.
func (l *load) begin() *generation {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.current.full() {
		old := l.current
		old.closed = true
		l.current = newGeneration(old.number + 1)
	}
	l.current.begun++
	l.current.inFlight++
	return l.current
}

func (l *load) end(g *generation) {
	l.mu.Lock()
	g.inFlight--
	over := g.closed && g.inFlight == 0
	l.mu.Unlock()
	if over {
		l.finish <- g
	}
}

// one does one operation and takes its outcome down. It reports whether there is one.
func (l *load) one(ctx context.Context, c *caller, o *object, r request, strict bool) bool {
	called := time.Now()
	status, body, err := c.send(ctx, r, strict)
	op := history.Op{Client: c.id, Call: called.Sub(l.began), Return: time.Since(l.began), Input: r.input}
	write := r.method == http.MethodPut || r.method == http.MethodDelete
	switch {
	case err != nil:
		l.report.count("no answer")
		if !c.node.trouble.since(called) {
			l.report.violation("%s %s through %s, %v after the start: no answer, and nothing was wrong with the node: %v",
				r.method, r.path, c.node.Name, op.Call, err)
		}
		op.Unknown = true
	case status == http.StatusServiceUnavailable: // provably not run
		l.report.count("503")
		return false
	case status == http.StatusGatewayTimeout:
		l.report.count("504")
		op.Unknown = true
	default:
		if op.Output, err = r.decode(status, body); err != nil {
			l.report.count("violation")
			l.report.violation("%s %s through %s, %v after the start: %v", r.method, r.path, c.node.Name, op.Call, err)
			return false
		}
		l.report.answered(write, time.Now())
		if r.acknowledged != nil {
			r.acknowledged()
		}
	}
	if op.Unknown && !write {
		return false // a read without an answer says nothing
	}
	o.note(op)
	return !op.Unknown
}

// readAll reads all objects of a generation, whatever it takes, and takes the answers down.
// It returns early when ctx ends.
func (l *load) readAll(ctx context.Context, callers []*caller, g *generation) {
	for _, o := range g.objects {
		r := rand.New(rand.NewPCG(0, uint64(g.number)))
		next := g.number
		read := poll(ctx, 50*time.Millisecond, func() bool {
			next++
			return l.one(context.WithoutCancel(ctx), callers[next%size], o, o.next(o, r, 0), true)
		})
		if !read {
			l.report.violation("%s can not be read: %v", o.path, context.Cause(ctx))
		}
	}
}

// check reads what the clients are done with and checks its history: at once, and once
// more when several faults have passed, to see that nothing was lost since. It returns
// when the load has ended and everything is checked, or ctx has ended.
func (l *load) check(ctx context.Context) {
	var callers []*caller
	for i, n := range l.cluster.nodes {
		c := l.cluster.newCaller(clientsPerNode*size+i, n)
		defer c.http.CloseIdleConnections()
		callers = append(callers, c)
	}
	var kept []*generation
	for g := range l.finish {
		l.readAll(ctx, callers, g)
		l.verify(g, "")
		kept = append(kept, g)
		if len(kept) > keptGenerations {
			l.again(ctx, callers, kept[0])
			l.remove(ctx, callers, kept[0])
			kept = kept[1:]
		}
	}
	for _, g := range kept {
		l.again(ctx, callers, g)
	}
}

func (l *load) again(ctx context.Context, callers []*caller, g *generation) {
	l.readAll(ctx, callers, g)
	l.verify(g, ", read again later,")
}

func (l *load) verify(g *generation, when string) {
	for _, o := range g.objects {
		ops := o.history()
		l.report.checked(len(ops))
		if o.illegal {
			continue // once is enough
		}
		if err := o.model.Check(o.path+when, l.report.dir, ops); err != nil {
			o.illegal = true
			l.report.illegal(when != "", err)
		}
	}
}

// remove deletes the objects of a generation, so that a long test does not fill the store.
func (l *load) remove(ctx context.Context, callers []*caller, g *generation) {
	for _, o := range g.objects {
		for i, path := range o.deletions() {
			poll(ctx, 50*time.Millisecond, func() bool {
				status, _, err := callers[i%size].send(ctx, request{method: http.MethodDelete, path: path}, false)
				i++
				return err == nil && status == http.StatusNoContent
			})
		}
	}
}
