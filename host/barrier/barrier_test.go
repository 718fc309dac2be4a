package barrier

import (
	"bytes"
	"errors"
	"slices"
	"sync"
	"testing"
)

func TestOpenReturnsWhatWasSealed(t *testing.T) {
	b := New(NewKeyring("cluster"))
	for _, want := range [][]byte{nil, {}, []byte("x"), bytes.Repeat([]byte("secret"), 10_000)} {
		sealed, err := b.Seal("hf/kv/a", want)
		if err != nil {
			t.Fatal(err)
		}
		if got := len(sealed); got != len(want)+Overhead {
			t.Errorf("sealed value has %d bytes, want %d", got, len(want)+Overhead)
		}
		got, err := b.Open("hf/kv/a", sealed)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("Open = %d bytes, %v, want %d", len(got), err, len(want))
		}
	}
}

func TestSealIsRandom(t *testing.T) {
	b := New(NewKeyring("cluster"))
	one, _ := b.Seal("a", []byte("value"))
	two, _ := b.Seal("a", []byte("value"))
	if bytes.Equal(one, two) {
		t.Error("sealed the same value twice to the same bytes")
	}
}

func TestOpenRefuses(t *testing.T) {
	keys := NewKeyring("cluster")
	b := New(keys)
	sealed, err := b.Seal("hf/kv/a", []byte("the value"))
	if err != nil {
		t.Fatal(err)
	}
	wrongFormat := bytes.Clone(sealed)
	wrongFormat[0] = 9
	otherCluster := keys.clone()
	otherCluster.clusterID = "other"
	for _, tt := range []struct {
		name, path string
		from       *Barrier
		value      []byte
		reason     string
	}{
		{"moved", "hf/kv/b", b, sealed, reasonForged},
		{"moved to a longer path", "hf/kv/aa", b, sealed, reasonForged},
		{"of another cluster", "hf/kv/a", New(otherCluster), sealed, reasonForged},
		{"of another key", "hf/kv/a", New(NewKeyring("cluster")), sealed, reasonForged},
		{"empty", "hf/kv/a", b, nil, reasonShort},
		{"truncated", "hf/kv/a", b, sealed[:len(sealed)-1], reasonForged},
		{"too short", "hf/kv/a", b, sealed[:Overhead-1], reasonShort},
		{"other format", "hf/kv/a", b, wrongFormat, reasonFormat},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := tt.from.Open(tt.path, tt.value)
			open, ok := errors.AsType[*OpenError](err)
			if !ok || got != nil {
				t.Fatalf("Open = %q, %v, want an OpenError", got, err)
			}
			if open.Path != tt.path || open.Reason != tt.reason {
				t.Errorf("OpenError = %+v, want path %q, reason %q", open, tt.path, tt.reason)
			}
		})
	}
}

func TestEveryByteIsAuthenticated(t *testing.T) {
	b := New(NewKeyring("cluster"))
	sealed, _ := b.Seal("a", []byte("value"))
	for i := range sealed {
		for bit := range 8 {
			altered := bytes.Clone(sealed)
			altered[i] ^= 1 << bit
			if _, err := b.Open("a", altered); err == nil {
				t.Errorf("opened with bit %d of byte %d altered", bit, i)
			}
		}
	}
}

func TestRotation(t *testing.T) {
	keys := NewKeyring("cluster")
	b := New(keys)
	before, _ := b.Seal("a", []byte("old"))
	ahead := New(keys.Rotate())
	after, _ := ahead.Seal("a", []byte("new"))

	if _, err := b.Open("a", after); !errors.Is(err, ErrUnknownTerm) {
		t.Errorf("Open of a newer term = %v, want ErrUnknownTerm", err)
	}
	next, err := ahead.Keyring()
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Replace(next); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		value []byte
		term  uint32
		want  string
	}{{before, 1, "old"}, {after, 2, "new"}} {
		if got, err := b.Open("a", tt.value); err != nil || string(got) != tt.want {
			t.Errorf("Open of term %d = %q, %v, want %q", tt.term, got, err, tt.want)
		}
		if got, err := TermOf(tt.value); err != nil || got != tt.term {
			t.Errorf("TermOf = %d, %v, want %d", got, err, tt.term)
		}
	}
	if got := b.KeyTerm(); got != 2 {
		t.Errorf("KeyTerm = %d, want 2", got)
	}
	if got, want := next.Terms(), []uint32{1, 2}; !slices.Equal(got, want) {
		t.Errorf("Terms = %v, want %v", got, want)
	}
}

func TestReplaceRefusesWhatDoesNotContinue(t *testing.T) {
	keys := NewKeyring("cluster").Rotate()
	other := keys.clone()
	other.keys[1] = new([keySize]byte)
	foreign := keys.clone()
	foreign.clusterID = "other"
	b := New(keys)
	for name, k := range map[string]*Keyring{
		"older":          {clusterID: "cluster", active: 1, keys: map[uint32]*[keySize]byte{1: keys.keys[1]}},
		"another key":    other,
		"other cluster":  foreign,
		"fewer keys":     {clusterID: "cluster", active: 3, keys: map[uint32]*[keySize]byte{3: keys.keys[1]}},
		"of other nodes": NewKeyring("cluster"),
	} {
		if err := b.Replace(k); !errors.Is(err, ErrKeyringMismatch) {
			t.Errorf("Replace with a keyring that is %s = %v, want ErrKeyringMismatch", name, err)
		}
	}
	if err := b.Replace(keys); err != nil {
		t.Errorf("Replace with the same keyring = %v", err)
	}
}

func TestKeyIsUsedUp(t *testing.T) {
	keys := NewKeyring("cluster")
	b := New(keys)
	b.current.Load().active.seals.Store(MaxSeals - 1)
	if _, err := b.Seal("a", nil); err != nil {
		t.Fatalf("last Seal of a key = %v", err)
	}
	for range 2 {
		if _, err := b.Seal("a", nil); !errors.Is(err, ErrKeyExhausted) {
			t.Errorf("Seal beyond MaxSeals = %v, want ErrKeyExhausted", err)
		}
	}
	if got := b.Seals(); got != MaxSeals {
		t.Errorf("Seals = %d, want %d", got, uint64(MaxSeals))
	}
	// Reloading the same keyring must not begin to count anew; rotating must.
	if err := b.Replace(keys); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Seal("a", nil); !errors.Is(err, ErrKeyExhausted) {
		t.Errorf("Seal after a reload = %v, want ErrKeyExhausted", err)
	}
	if err := b.Replace(keys.Rotate()); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Seal("a", nil); err != nil || b.Seals() != 1 {
		t.Errorf("Seal after a rotation = %v, Seals = %d, want 1", err, b.Seals())
	}
}

func TestDestroy(t *testing.T) {
	keys := NewKeyring("cluster")
	b := New(keys)
	sealed, _ := b.Seal("a", []byte("value"))
	own := b.current.Load().keyring.keys[1]
	b.Destroy()
	b.Destroy()

	if *own != [keySize]byte{} {
		t.Error("the key was not zeroed")
	}
	_, sealErr := b.Seal("a", nil)
	_, openErr := b.Open("a", sealed)
	_, keyringErr := b.Keyring()
	for name, err := range map[string]error{
		"Seal": sealErr, "Open": openErr, "Keyring": keyringErr, "Replace": b.Replace(keys),
	} {
		if !errors.Is(err, ErrSealed) {
			t.Errorf("%s after Destroy = %v, want ErrSealed", name, err)
		}
	}
	if got := b.KeyTerm(); got != 0 {
		t.Errorf("KeyTerm after Destroy = %d, want 0", got)
	}
	if got, err := New(keys).Open("a", sealed); err != nil || string(got) != "value" {
		t.Errorf("the caller's keyring opens %q, %v, want value", got, err)
	}
}

func TestConcurrentUse(t *testing.T) {
	keys := NewKeyring("cluster")
	b := New(keys)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 200 {
				sealed, err := b.Seal("a", []byte("value"))
				if errors.Is(err, ErrSealed) {
					return
				}
				if err != nil {
					t.Errorf("Seal = %v", err)
				}
				got, err := b.Open("a", sealed)
				if !errors.Is(err, ErrSealed) && string(got) != "value" {
					t.Errorf("Open = %q, %v", got, err)
				}
			}
		})
	}
	wg.Go(func() {
		for range 20 {
			keys = keys.Rotate()
			if err := b.Replace(keys); err != nil {
				t.Errorf("Replace = %v", err)
			}
		}
		b.Destroy()
	})
	wg.Wait()
}

func TestOneAllocation(t *testing.T) {
	b := New(NewKeyring("cluster"))
	value := make([]byte, 1024)
	sealed, _ := b.Seal("hf/kv/mount/name", value)
	if got := testing.AllocsPerRun(100, func() { _, _ = b.Seal("hf/kv/mount/name", value) }); got > 1 {
		t.Errorf("Seal allocates %v times, want once", got)
	}
	if got := testing.AllocsPerRun(100, func() { _, _ = b.Open("hf/kv/mount/name", sealed) }); got > 1 {
		t.Errorf("Open allocates %v times, want once", got)
	}
}

func FuzzBarrier(f *testing.F) {
	f.Add("hf/kv/a", "hf/kv/b", []byte("value"), uint(0))
	f.Add("", "a", []byte{}, uint(300))
	b := New(NewKeyring("cluster"))
	f.Fuzz(func(t *testing.T, path, other string, value []byte, bit uint) {
		sealed, err := b.Seal(path, value)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := b.Open(path, sealed); err != nil || !bytes.Equal(got, value) {
			t.Errorf("Open = %q, %v, want %q", got, err, value)
		}
		if _, err := b.Open(other, sealed); err == nil && other != path {
			t.Errorf("a value sealed at %q opens at %q", path, other)
		}
		bit %= uint(len(sealed)) * 8
		sealed[bit/8] ^= 1 << (bit % 8)
		if _, err := b.Open(path, sealed); err == nil {
			t.Errorf("opened with bit %d altered", bit)
		}
	})
}

func BenchmarkSeal(b *testing.B) {
	barrier, value := New(NewKeyring("cluster")), make([]byte, 1024)
	b.SetBytes(int64(len(value)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := barrier.Seal("hf/kv/mount/name", value); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkOpen(b *testing.B) {
	barrier, value := New(NewKeyring("cluster")), make([]byte, 1024)
	sealed, _ := barrier.Seal("hf/kv/mount/name", value)
	b.SetBytes(int64(len(value)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := barrier.Open("hf/kv/mount/name", sealed); err != nil {
			b.Fatal(err)
		}
	}
}

// What other nodes sealed counts, for the key that sealed it.
func TestAddSeals(t *testing.T) {
	keyring := NewKeyring("c").Rotate()
	b := New(keyring)
	b.AddSeals(1, 5)
	b.AddSeals(2, 7)
	b.AddSeals(3, 9) // not known
	if _, err := b.Seal("a", nil); err != nil {
		t.Fatal(err)
	}
	if got := b.Seals(); got != 8 {
		t.Errorf("Seals = %d, want 8", got)
	}
	b.AddSeals(2, 1<<63)
	if _, err := b.Seal("a", nil); !errors.Is(err, ErrKeyExhausted) {
		t.Errorf("Seal = %v, want ErrKeyExhausted", err)
	}
	b.Destroy()
	b.AddSeals(2, 1)
}
