package storagetest

import (
	"bytes"
	"encoding/binary"
	"slices"
	"testing"
)

// frame is one of HTTP/2 with a payload of size bytes.
func frame(size int) []byte {
	header := binary.BigEndian.AppendUint32(nil, uint32(size))[1:]
	return append(append(header, 0, 0, 0, 0, 0, 1), bytes.Repeat([]byte{0xAA}, size)...)
}

// However the bytes arrive, a frame ends where it ends.
func FuzzFrames(f *testing.F) {
	f.Add(uint16(0), uint16(1), uint16(300), uint8(1))
	f.Add(uint16(9), uint16(0), uint16(0), uint8(4))
	f.Fuzz(func(t *testing.T, a, b, c uint16, chunk uint8) {
		text := slices.Concat(frame(int(a)), frame(int(b)), frame(int(c)))
		want := []int{len(frame(int(a))), len(frame(int(a))) + len(frame(int(b))), len(text)}
		var split frames
		var ends []int
		var passed []byte
		for piece := range slices.Chunk(text, int(chunk)+1) {
			for _, part := range split.cut(piece) {
				passed = append(passed, part...)
				ends = append(ends, len(passed))
			}
		}
		if !bytes.Equal(passed, text) {
			t.Fatalf("%d bytes became %d", len(text), len(passed))
		}
		for _, end := range want {
			if !slices.Contains(ends, end) {
				t.Errorf("no part ends at %d, where a frame does: %v", end, ends)
			}
		}
	})
}

// A server of HTTP/2 may speak before its client was heard.
func TestServerSpeaksFirst(t *testing.T) {
	limits := []byte{0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 100}
	for text, want := range map[string]bool{
		string(limits):                         true,
		"\x00\x00\x00\x04\x00\x00\x00\x00\x00": true, // no settings
		string(limits[:8]):                     false,
		"HTTP/1.1 200 OK\r\n\r\n":              false,
		string(frame(6)):                       false, // of a stream
	} {
		if got := splitter(FromStore, []byte(text), make(chan bool, 1)) != nil; got != want {
			t.Errorf("a server begins with %q: taken for HTTP/2: %t, want %t", text, got, want)
		}
	}
}

func TestFramesAreNotCutApart(t *testing.T) {
	text := slices.Concat(preface, frame(0), frame(5), frame(70<<10))
	split := &frames{rest: len(preface)}
	var sizes []int
	for _, part := range split.cut(text) {
		sizes = append(sizes, len(part))
	}
	if want := []int{len(preface), 9, 14, 9 + 70<<10}; !slices.Equal(sizes, want) {
		t.Errorf("got parts of %v bytes, want %v", sizes, want)
	}
}
