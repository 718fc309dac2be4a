package storagetest

import (
	"bytes"
	"context"
	"encoding/binary"
	"net"
	"sync"
	"time"
)

// preface is how a client of HTTP/2 begins.
var preface = []byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n") //nolint:gochecknoglobals // a constant

// frameHeader is how long the header of a frame of HTTP/2 is, in bytes.
const frameHeader = 9

// parcel is a piece of a connection.
type parcel struct {
	text []byte
	due  time.Time
	sent chan struct{} // closed when it was handed to the other end
}

// pass passes on one direction of a connection until either end is closed. kind gets, from the
// client's direction, whether it is HTTP/2; the other one reads it.
func (p *Proxy) pass(ctx context.Context, direction Direction, to, from net.Conn, kind chan bool) {
	const queue = 1024 // pieces under way, so that a delay does not make the link narrow
	parcels := make(chan parcel, queue)
	gone := make(chan struct{})
	var delivery sync.WaitGroup
	delivery.Go(func() {
		defer close(gone)
		deliver(ctx, to, parcels)
	})
	defer delivery.Wait()
	defer close(parcels)
	defer func() { _ = from.Close() }() // nobody takes what it sends
	var split *frames
	first := true
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		if n > 0 && first {
			split, first = splitter(direction, buffer[:n], kind), false
		}
		for _, message := range split.cut(buffer[:n]) {
			delay, cut := p.admit(ctx, direction)
			if cut != nil {
				_ = to.Close()
				return
			}
			next := parcel{bytes.Clone(message), time.Now().Add(delay), make(chan struct{})}
			select {
			case parcels <- next:
			case <-gone:
				return
			}
			if delay > 0 {
				continue
			}
			select { // it counts as passed, so a cut must not overtake it
			case <-next.sent:
			case <-gone:
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// deliver writes what is due, and closes the end when there is no more.
func deliver(ctx context.Context, to net.Conn, parcels <-chan parcel) {
	defer func() { _ = to.Close() }() // the other end was closed, or the link was cut
	for next := range parcels {
		if wait := time.Until(next.due); wait > 0 {
			timer := time.NewTimer(wait)
			select {
			case <-timer.C:
			case <-ctx.Done():
				timer.Stop()
				return
			}
		}
		if _, err := to.Write(next.text); err != nil {
			return
		}
		close(next.sent)
	}
}

// splitter returns what splits one direction of a connection that begins with text: nil
// unless it is HTTP/2, whose servers say nothing before their clients but their SETTINGS.
func splitter(direction Direction, text []byte, kind chan bool) *frames {
	if direction == ToStore {
		isHTTP2 := bytes.HasPrefix(text, preface)
		kind <- isHTTP2
		if isHTTP2 {
			return &frames{rest: len(preface)}
		}
		return nil
	}
	select {
	case isHTTP2 := <-kind:
		if isHTTP2 {
			return &frames{}
		}
	default:
		if beginsWithSettings(text) {
			return &frames{}
		}
	}
	return nil
}

// beginsWithSettings reports whether text begins with a frame of HTTP/2 as a server's first
// one is: SETTINGS, of no stream, six bytes for each.
func beginsWithSettings(text []byte) bool {
	const settings, mostBytes = 4, 16 << 10 // RFC 9113, 6.5 and 4.2
	if len(text) < frameHeader {
		return false
	}
	size := int(binary.BigEndian.Uint32(append([]byte{0}, text[:3]...)))
	return size%6 == 0 && size <= mostBytes && text[3] == settings && bytes.Equal(text[4:frameHeader], make([]byte, 5))
}

// frames follows one direction of HTTP/2.
type frames struct {
	rest   int    // of the frame under way, in bytes
	header []byte // the part that was read of the next frame's
}

// cut cuts text into the parts of frames that it has. On nil, text is one message.
func (f *frames) cut(text []byte) [][]byte {
	if len(text) == 0 {
		return nil
	}
	if f == nil {
		return [][]byte{text}
	}
	var parts [][]byte
	begin, at := 0, 0
	for at < len(text) {
		if f.rest == 0 { // in a header
			take := min(frameHeader-len(f.header), len(text)-at)
			f.header = append(f.header, text[at:at+take]...)
			at += take
			if len(f.header) < frameHeader {
				break
			}
			f.rest = int(binary.BigEndian.Uint32(append([]byte{0}, f.header[:3]...)))
			f.header = f.header[:0]
		} else {
			take := min(f.rest, len(text)-at)
			f.rest -= take
			at += take
		}
		if f.rest == 0 {
			parts = append(parts, text[begin:at])
			begin = at
		}
	}
	if begin < len(text) {
		parts = append(parts, text[begin:])
	}
	return parts
}
