package cluster

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	pb "github.com/holdfast/holdfast/host/cluster/proto/holdfast/cluster/v1alpha"
)

const (
	minReattach = 20 * time.Millisecond
	maxReattach = time.Second
)

// Attach makes this node a member of the one at target until ctx ends or the stream
// breaks; the error says which. onNotice is called, on the caller's goroutine, whenever
// the term record should be read at once, the first time when the stream stands. It must not
// block: echoes wait for it. After three echoes without an answer the connection is
// closed, with the calls in flight on it, and the error is ErrSilent.
func (d *Dialer) Attach(ctx context.Context, target Target, self Member, onNotice func()) error {
	l, err := d.acquire(target)
	if err != nil {
		return err
	}
	defer d.release(l)
	err = d.attach(ctx, l, self, onNotice)
	if errors.Is(err, ErrSilent) {
		d.drop(l)
	}
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	return fmt.Errorf("attach to %s: %w", target.Addr, err)
}

func (d *Dialer) attach(ctx context.Context, l *link, self Member, onNotice func()) error {
	var reader sync.WaitGroup
	defer reader.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends the stream, and with it the reader

	stream, err := l.client.Attach(ctx)
	if err != nil {
		return err
	}
	if err := stream.Send(&pb.AttachRequest{Member: memberToProto(self), Epoch: d.epoch()}); err != nil {
		// Why it broke is what Recv says; Send knows only that it did.
		_, err = stream.Recv()
		return err
	}
	answers := make(chan *pb.AttachResponse)
	var broken error // set before answers is closed
	reader.Go(func() {
		defer close(answers)
		for {
			answer, err := stream.Recv()
			if err != nil {
				broken = err
				return
			}
			select {
			case answers <- answer:
			case <-ctx.Done():
				broken = ctx.Err()
				return
			}
		}
	})
	listed := func(members []*pb.Listed) {
		if len(members) > 0 && d.cfg.Listed != nil {
			d.cfg.Listed(l.target, members)
		}
	}
	if silent := d.exchangeEchoes(stream, answers, onNotice, listed); silent != nil {
		return silent
	}
	return broken
}

// exchangeEchoes returns nil when answers is closed.
func (d *Dialer) exchangeEchoes(
	stream pb.Cluster_AttachClient, answers <-chan *pb.AttachResponse, onNotice func(), listed func([]*pb.Listed),
) error {
	limit := missedEchoes * d.cfg.EchoInterval
	silence := time.NewTimer(limit)
	defer silence.Stop()
	echo := time.NewTicker(d.cfg.EchoInterval)
	defer echo.Stop()
	for {
		select {
		case answer, ok := <-answers:
			if !ok {
				return nil
			}
			silence.Reset(limit)
			listed(answer.GetMembers())
			if answer.GetCheckRecord() {
				onNotice()
			}
		case <-echo.C:
			// An error ends the stream for Recv too, which knows the reason.
			_ = stream.Send(&pb.AttachRequest{Epoch: d.epoch()})
		case <-silence.C:
			return fmt.Errorf("%w for %s", ErrSilent, limit)
		}
	}
}

// StayAttached attaches again and again, at intervals of 20 ms that grow to 1 s while it
// does not succeed, until ctx ends. The arguments are Attach's. The caller ends it when
// another node becomes active.
func (d *Dialer) StayAttached(ctx context.Context, target Target, self Member, onNotice func()) {
	delay, lost := minReattach, false
	for ctx.Err() == nil {
		attached := false
		err := d.Attach(ctx, target, self, func() {
			if !attached {
				attached = true
				d.cfg.Log.Info("attached to the active node", "cluster_addr", target.Addr, "instance_id", target.InstanceID)
			}
			onNotice()
		})
		if ctx.Err() != nil || errors.Is(err, ErrClosed) {
			return
		}
		if attached || !lost { // once per loss, not per attempt
			d.cfg.Log.Warn("not attached to the active node", "cluster_addr", target.Addr, "error", err)
			lost = true
		}
		if attached {
			delay = minReattach
		}
		wait(ctx, delay/2+rand.N(delay)) // jitter: all standbys lose the active node at once
		delay = min(2*delay, maxReattach)
	}
}

// wait returns after d, or when ctx ends.
func wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
