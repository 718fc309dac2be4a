package seal

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
)

func generate(t testing.TB, shares, threshold int) (rootKey []byte, split [][]byte) {
	t.Helper()
	rootKey, split, err := Generate(shares, threshold)
	if err != nil {
		t.Fatal(err)
	}
	return rootKey, split
}

func TestAnyThresholdOfSharesSuffices(t *testing.T) {
	for _, tt := range []struct{ shares, threshold int }{{1, 1}, {2, 2}, {3, 2}, {5, 3}, {9, 9}, {255, 20}} {
		t.Run(fmt.Sprintf("%d of %d", tt.threshold, tt.shares), func(t *testing.T) {
			want, split := generate(t, tt.shares, tt.threshold)
			if len(split) != tt.shares || len(want) != RootKeySize {
				t.Fatalf("got %d shares and a key of %d bytes", len(split), len(want))
			}
			for range 10 {
				rand.Shuffle(len(split), func(i, j int) { split[i], split[j] = split[j], split[i] })
				got, err := Combine(split[:tt.threshold], tt.threshold)
				if err != nil || !bytes.Equal(got, want) {
					t.Fatalf("Combine = another key, %v", err)
				}
			}
		})
	}
}

func TestTooFewOrWrongSharesGiveAnotherKey(t *testing.T) {
	want, split := generate(t, 5, 3)
	_, foreign := generate(t, 5, 3)
	if _, err := Combine(split[:2], 3); err == nil {
		t.Error("two shares of three were accepted")
	}
	for name, shares := range map[string][][]byte{
		"fewer, with a lower threshold": split[:2],
		"one of another secret":         {split[0], split[1], foreign[2]},
	} {
		got, err := Combine(shares, len(shares))
		if err != nil || bytes.Equal(got, want) {
			t.Errorf("Combine of %s = %v, same key: %t", name, err, bytes.Equal(got, want))
		}
	}
}

func TestCombineRefusesWhatTheLibraryWouldPanicOn(t *testing.T) {
	_, split := generate(t, 5, 3)
	numberZero := append([]byte{0}, split[2][1:]...)
	// The group's order, which is no canonical scalar: it would be read as zero.
	order, err := hex.DecodeString("04edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010")
	if err != nil {
		t.Fatal(err)
	}
	for name, last := range map[string][]byte{
		"the same share":   split[1],
		"the same number":  append([]byte{split[1][0]}, split[2][1:]...),
		"number 0":         numberZero,
		"too short":        split[2][:ShareSize-1],
		"empty":            nil,
		"too long":         append(bytes.Clone(split[2]), 0),
		"not canonical":    order,
		"all bits set":     bytes.Repeat([]byte{0xff}, ShareSize),
		"empty but made 0": make([]byte, ShareSize),
	} {
		if _, err := Combine([][]byte{split[0], split[1], last}, 3); !errors.Is(err, ErrBadShare) {
			t.Errorf("Combine with %s = %v, want ErrBadShare", name, err)
		}
	}
	for _, threshold := range []int{-1, 0, 256} {
		if _, err := Combine(split, threshold); err == nil {
			t.Errorf("Combine with threshold %d succeeded", threshold)
		}
	}
}

func TestValidateSplit(t *testing.T) {
	for _, tt := range []struct {
		shares, threshold int
		ok                bool
	}{
		{1, 1, true},
		{5, 3, true},
		{255, 255, true},
		{2, 2, true},
		{0, 0, false},
		{-1, 1, false},
		{256, 3, false},
		{5, 0, false},
		{5, 6, false},
		{5, 1, false},
	} {
		if err := ValidateSplit(tt.shares, tt.threshold); (err == nil) != tt.ok {
			t.Errorf("ValidateSplit(%d, %d) = %v, want ok %t", tt.shares, tt.threshold, err, tt.ok)
		}
		if _, _, err := Generate(tt.shares, tt.threshold); (err == nil) != tt.ok {
			t.Errorf("Generate(%d, %d) = %v, want ok %t", tt.shares, tt.threshold, err, tt.ok)
		}
	}
}

func TestParseShare(t *testing.T) {
	_, split := generate(t, 3, 2)
	for _, share := range split {
		for name, text := range map[string]string{
			"hex":            hex.EncodeToString(share),
			"upper case hex": fmt.Sprintf("%X", share),
			"base64":         base64.StdEncoding.EncodeToString(share),
			"white space":    " " + hex.EncodeToString(share) + "\n",
		} {
			if got, err := ParseShare(text); err != nil || !bytes.Equal(got, share) {
				t.Errorf("ParseShare of %s = %x, %v", name, got, err)
			}
		}
	}
	for _, text := range []string{"", "abc", hex.EncodeToString(split[0])[2:], "zz" + hex.EncodeToString(split[0])[2:]} {
		if _, err := ParseShare(text); !errors.Is(err, ErrBadShare) {
			t.Errorf("ParseShare(%d characters) = %v, want ErrBadShare", len(text), err)
		}
	}
}

func FuzzParseShare(f *testing.F) {
	_, split := generate(f, 2, 2)
	f.Add(hex.EncodeToString(split[0]))
	f.Add(base64.StdEncoding.EncodeToString(split[1]))
	f.Fuzz(func(t *testing.T, text string) {
		share, err := ParseShare(text)
		if err != nil {
			t.Skip()
		}
		again, err := ParseShare(hex.EncodeToString(share))
		if err != nil || !bytes.Equal(again, share) {
			t.Errorf("%q is read as %x, and that as %x, %v", text, share, again, err)
		}
	})
}

// FuzzCombine checks that no bytes make it panic: they come from clients.
func FuzzCombine(f *testing.F) {
	_, split := generate(f, 3, 3)
	f.Add(split[0], split[1], split[2])
	f.Add([]byte{1}, []byte{}, []byte(nil))
	f.Fuzz(func(t *testing.T, a, b, c []byte) {
		key, err := Combine([][]byte{a, b, c}, 3)
		if err == nil && len(key) != RootKeySize {
			t.Errorf("root key has %d bytes", len(key))
		}
		if err != nil && !errors.Is(err, ErrBadShare) {
			t.Errorf("Combine = %v, want ErrBadShare", err)
		}
	})
}
