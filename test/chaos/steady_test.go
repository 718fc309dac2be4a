package chaos

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptrace"
	"slices"
	"sync"
	"testing"
	"time"
)

const (
	steadyClients = 60
	steadyRate    = 200 // requests a second, of all clients
	// handOverTime is how long after a hand-over a request counts as one that felt it.
	handOverTime = 500 * time.Millisecond
	tooMany      = 20 // failures, after which there is no point in going on
)

// steady is a load at a steady rate. Each client writes increasing numbers to a key of its
// own and reads each back, through another node every time.
type steady struct {
	cluster *cluster
	began   time.Time
	closed  []sync.RWMutex // by node; held for writing while nobody may ask it

	mu       sync.Mutex
	samples  []sample // guarded by mu
	events   []event  // guarded by mu
	failures []string // guarded by mu
}

type sample struct{ call, length time.Duration }

// event is a hand-over.
type event struct {
	what       string
	begin, end time.Duration
}

func newSteady(c *cluster) *steady {
	return &steady{cluster: c, began: time.Now(), closed: make([]sync.RWMutex, size)}
}

// run works until ctx ends.
func (s *steady) run(ctx context.Context) {
	var clients sync.WaitGroup
	defer clients.Wait()
	for id := range steadyClients {
		clients.Go(func() { s.client(ctx, id) })
	}
}

func (s *steady) client(ctx context.Context, id int) {
	transport := &http.Transport{DisableCompression: true}
	defer transport.CloseIdleConnections()
	c := &http.Client{Transport: transport, Timeout: clientPatience}
	interval := steadyClients * time.Second / steadyRate
	linger(ctx, time.Duration(id)*interval/steadyClients) // one after the other
	tick := time.NewTicker(interval)
	defer tick.Stop()
	written := 0
	for turn := 0; ctx.Err() == nil; turn++ {
		// What is under way when ctx ends is waited for.
		next := written
		if turn%2 == 0 {
			next++
		}
		if !s.one(context.WithoutCancel(ctx), c, id, turn, next, next != written) {
			return
		}
		written = next
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
}

// one writes value, or reads and expects it. It returns false if that failed.
func (s *steady) one(ctx context.Context, c *http.Client, id, turn, value int, write bool) bool {
	n, release := s.choose(id + turn)
	defer release()
	o := newRegister(fmt.Sprintf("steady/%d", id))
	r := o.next(o, nil, 0)
	if write {
		r.method, r.body, r.decode = http.MethodPut, fmt.Sprintf(`{"v":%d}`, value), made
	}
	connections := 0
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { connections++ }})
	call := time.Since(s.began)
	status, body, err := (&caller{address: n.Address, root: s.cluster.root, http: c}).send(ctx, r, false)
	length := time.Since(s.began) - call
	var got any
	if err == nil {
		got, err = r.decode(status, body)
	}
	switch {
	case err != nil:
	case connections > 1:
		err = fmt.Errorf("the client had to send it %d times", connections)
	case !write && got != value:
		err = fmt.Errorf("got %v, want %d, which was acknowledged", got, value)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.samples = append(s.samples, sample{call, length})
	if err != nil {
		s.failures = append(s.failures, fmt.Sprintf("client %d, %s of %d through %s, at %v for %v: %v",
			id, r.method, value, n.Name, call.Round(time.Millisecond), length.Round(time.Millisecond), err))
	}
	return err == nil
}

// choose returns a node that may be asked, the one whose turn it is if possible, and keeps it
// open until release.
func (s *steady) choose(turn int) (n *node, release func()) {
	for {
		if i := turn % size; s.closed[i].TryRLock() {
			return s.cluster.nodes[i], s.closed[i].RUnlock
		}
		turn++
	}
}

// exclude returns when nobody asks the node any more, until include.
func (s *steady) exclude(n *node) (include func()) {
	i := slices.Index(s.cluster.nodes, n)
	s.closed[i].Lock()
	return s.closed[i].Unlock
}

// event takes down that a hand-over begins, until done is called.
func (s *steady) event(what string) (done func()) {
	begin := time.Since(s.began)
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.events = append(s.events, event{what, begin, time.Since(s.began)})
	}
}

func (s *steady) broken() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.failures) >= tooMany
}

// report fails t for every request that failed, and says what hand-overs cost.
func (s *steady) report(t *testing.T, stepDowns, terms int) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	var calm, felt, worst []time.Duration
	touched := make([]time.Duration, len(s.events))
	for _, one := range s.samples {
		i := slices.IndexFunc(s.events, func(e event) bool {
			return one.call+one.length >= e.begin && one.call <= e.begin+handOverTime
		})
		if i < 0 {
			calm = append(calm, one.length)
			continue
		}
		felt = append(felt, one.length)
		touched[i] = max(touched[i], one.length)
	}
	usual := quantile(calm, 0.5)
	for i := range felt {
		felt[i] = max(0, felt[i]-usual)
	}
	for _, longest := range touched {
		worst = append(worst, max(0, longest-usual))
	}
	t.Logf("%d requests in %v, %d failed; %d of %d step-downs and SIGTERMs\n"+
		"without hand-over: p50 %v, p99 %v\n"+
		"added latency of the %d requests within %v of a hand-over: p50 %v, p99 %v\n"+
		"added latency of the slowest request of each hand-over: p50 %v, p99 %v, most %v",
		len(s.samples), time.Since(s.began).Round(time.Second), len(s.failures), len(s.events), stepDowns+terms, usual, quantile(calm, 0.99),
		len(felt), handOverTime, quantile(felt, 0.5), quantile(felt, 0.99),
		quantile(worst, 0.5), quantile(worst, 0.99), quantile(worst, 1))
	for _, f := range s.failures[:min(len(s.failures), tooMany)] {
		t.Error(f)
	}
	if t.Failed() {
		for _, e := range s.events {
			t.Logf("%s: from %v to %v", e.what, e.begin.Round(time.Millisecond), e.end.Round(time.Millisecond))
		}
		t.Logf("the start was at %s", s.began.Format(time.RFC3339Nano))
	}
}

// quantile returns the q-quantile of what need not be sorted; 0 of nothing.
func quantile(all []time.Duration, q float64) time.Duration {
	if len(all) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(all))
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)].Round(10 * time.Microsecond)
}
