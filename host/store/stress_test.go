package store

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast/holdfast/host/ha"
	"github.com/holdfast/holdfast/sdk/storage"
)

// TestCountersUnderStress increments counters by Updates while the driver fails in all the
// ways it can, and the tenure ends now and then. Every increment that was acknowledged must
// have happened once, one of unknown outcome at most once, and any other never.
func TestCountersUnderStress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, Config{Hold: 200 * time.Millisecond, Limits: storage.Limits{
			MaxKeyBytes: 100, MaxValueBytes: 1000, MaxOps: 8, MaxBatchBytes: recordRoom + 1000,
		}})
		f.open()
		s := &stress{fixture: f, counters: make([]counter, 5)}
		ctx, cancel := context.WithCancel(t.Context())
		var clients, driver sync.WaitGroup
		driver.Go(func() { s.drive(ctx) })
		for id := range uint64(20) {
			clients.Go(func() { s.client(ctx, rand.New(rand.NewPCG(id, 0))) })
		}
		clients.Wait()
		cancel()
		driver.Wait()
		f.Shut()
		f.Close()
		acked := 0
		for i := range s.counters {
			c := &s.counters[i]
			raw := f.storage.items[counterKey(i)]
			plain, _ := plainSealer{}.Open(counterKey(i), raw)
			got, _ := strconv.Atoi(string(plain))
			low, high := int(c.acked.Load()), int(c.acked.Load()+c.unknown.Load())
			if got < low || got > high {
				t.Errorf("%s is %d, want %d to %d", counterKey(i), got, low, high)
			}
			acked += low
		}
		t.Logf("%d acknowledged, %d tenures", acked, s.tenures)
		if acked < 1000 || s.tenures < 10 {
			t.Errorf("hardly anything happened: %d acknowledged, %d tenures", acked, s.tenures)
		}
	})
}

type stress struct {
	*fixture
	counters []counter
	tenures  int
}

type counter struct{ acked, unknown atomic.Int64 }

func counterKey(i int) string { return "n/" + strconv.Itoa(i) }

func (s *stress) client(ctx context.Context, rnd *rand.Rand) {
	for range 800 {
		i := rnd.IntN(len(s.counters))
		begun, err := s.Begin(ctx)
		if err != nil {
			time.Sleep(time.Millisecond) // of the bubble
			continue
		}
		begun, cancel := context.WithTimeout(begun, time.Duration(1+rnd.IntN(100))*time.Millisecond)
		if rnd.IntN(4) == 0 {
			s.list(begun)
		}
		err = s.Update(begun, []string{counterKey(i)}, func(tx Tx) error {
			raw, err := tx.Get(counterKey(i))
			if err != nil && !errors.Is(err, storage.ErrNotFound) {
				return err
			}
			n, _ := strconv.Atoi(string(raw))
			tx.Put(counterKey(i), []byte(strconv.Itoa(n+1)))
			return nil
		})
		switch {
		case err == nil:
			s.counters[i].acked.Add(1)
		case errors.Is(err, ErrOutcomeUnknown):
			s.counters[i].unknown.Add(1)
		case errors.Is(err, ErrNotActive), errors.Is(err, context.DeadlineExceeded):
		default:
			s.t.Errorf("update: %v", err)
		}
		cancel()
	}
}

// list checks that a List answers in time, with names that exist.
func (s *stress) list(ctx context.Context) {
	names, err := s.List(ctx, "n/")
	if err == nil && len(names) > len(s.counters) {
		s.t.Errorf("names: %q", names)
	}
}

// drive commits as the driver of the term record does, with every outcome there is.
func (s *stress) drive(ctx context.Context) {
	rnd := rand.New(rand.NewPCG(99, 0))
	beat := time.NewTicker(50 * time.Millisecond)
	defer beat.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.wakes:
		case <-beat.C:
		}
		ops := s.Take()
		time.Sleep(time.Duration(rnd.IntN(20)) * time.Millisecond) // of the bubble
		applied := rnd.IntN(2) == 0
		switch outcome := rnd.IntN(20); {
		case outcome == 0:
			if applied {
				s.storage.apply(ops)
			}
			s.Resolve(ha.Doubtful, nil)
			s.reopen()
		case outcome == 1:
			s.Resolve(ha.Refused, fmt.Errorf("%w: by chance", ErrNotActive))
		case outcome < 5:
			s.Resolve(ha.Again, nil)
			if outcome == 2 {
				s.reopen()
			}
		default:
			s.storage.apply(ops)
			s.Resolve(ha.Applied, nil)
		}
	}
}

func (s *stress) reopen() {
	s.Shut()
	s.tenures++
	time.Sleep(3 * time.Millisecond) // of the bubble
	s.open()
}
