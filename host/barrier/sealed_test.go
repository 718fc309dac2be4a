package barrier

import (
	"bytes"
	"errors"
	"slices"
	"testing"
)

func rootKey(fill byte) []byte { return bytes.Repeat([]byte{fill}, rootKeySize) }

func TestKeyringAtRest(t *testing.T) {
	keys := NewKeyring("cluster").Rotate().Rotate()
	sealed, err := keys.SealWith(rootKey(1), "hf/keyring")
	if err != nil {
		t.Fatal(err)
	}
	got, err := OpenKeyring(rootKey(1), "hf/keyring", sealed)
	if err != nil {
		t.Fatal(err)
	}
	if got.ClusterID() != "cluster" || got.ActiveTerm() != 3 || !slices.Equal(got.Terms(), []uint32{1, 2, 3}) {
		t.Errorf("opened keyring of %q, active %d, terms %v", got.ClusterID(), got.ActiveTerm(), got.Terms())
	}
	if !got.continues(keys) || !keys.continues(got) {
		t.Error("the keys opened are not the keys sealed")
	}
	for _, key := range keys.keys {
		if bytes.Contains(sealed, key[:]) {
			t.Error("the sealed keyring shows a key")
		}
	}
}

func TestOpenKeyringTellsWrongKeyFromDamage(t *testing.T) {
	sealed, err := NewKeyring("cluster").SealWith(rootKey(1), "hf/keyring")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := OpenKeyring(rootKey(2), "hf/keyring", sealed); !errors.Is(err, ErrWrongKey) {
		t.Errorf("with another root key = %v, want ErrWrongKey", err)
	}
	damaged := bytes.Clone(sealed)
	damaged[len(damaged)-1] ^= 1
	otherFormat := bytes.Clone(sealed)
	otherFormat[0] = 7
	for _, tt := range []struct {
		name, path string
		value      []byte
		reason     string
	}{
		{"damaged", "hf/keyring", damaged, reasonForged},
		{"moved", "hf/other", sealed, reasonForged},
		{"truncated", "hf/keyring", sealed[:10], reasonShort},
		{"other format", "hf/keyring", otherFormat, reasonFormat},
	} {
		_, err := OpenKeyring(rootKey(1), tt.path, tt.value)
		if open, ok := errors.AsType[*OpenError](err); !ok || open.Reason != tt.reason {
			t.Errorf("%s = %v, want reason %q", tt.name, err, tt.reason)
		}
	}
	if _, err := OpenKeyring([]byte("short"), "hf/keyring", sealed); err == nil {
		t.Error("a root key of 5 bytes was accepted")
	}
}

// FuzzDecodeKeyring checks that only what encode writes is read.
func FuzzDecodeKeyring(f *testing.F) {
	f.Add(NewKeyring("cluster").encode())
	f.Add(NewKeyring("").Rotate().encode())
	f.Add([]byte{0, 0, 0, 1, 255, 255, 255, 255, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		k, err := decodeKeyring(data)
		if err != nil {
			t.Skip()
		}
		if got := k.encode(); !bytes.Equal(got, data) {
			t.Errorf("%x is read and written again as %x", data, got)
		}
		if k.keys[k.active] == nil {
			t.Errorf("%x is read as a keyring without an active key", data)
		}
	})
}
