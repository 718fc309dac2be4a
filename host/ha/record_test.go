package ha

import (
	"bytes"
	"math"
	"strings"
	"testing"
	"time"
)

// held is a record like those in the store.
func held() Record {
	return Record{
		Format: firstFormat, Cluster: "c", Epoch: 7, Seq: 1234, Batch: "a:9", Before: "b:3",
		Holder: Node{ID: "a", APIAddress: "https://10.0.0.5:8200", ClusterAddress: "https://10.0.0.5:8201"},
		Phase:  Held, Lease: 2 * time.Second,
	}
}

func encoded(t testing.TB, r Record) []byte {
	t.Helper()
	plain, err := r.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return plain
}

func TestRecordRoundTrip(t *testing.T) {
	handedOff := held()
	handedOff.Phase, handedOff.Target = HandedOff, "b"
	released := held()
	released.Phase = Released
	accepted := held()
	accepted.Format, accepted.Generation = generationFormat, 3
	for _, want := range []Record{held(), handedOff, released, accepted, FirstRecord("c")} {
		got, err := DecodeRecord(encoded(t, want))
		if err != nil || got != want {
			t.Errorf("decode(encode(%+v)) = %+v, %v", want, got, err)
		}
	}
}

func TestDecodeRecordRefuses(t *testing.T) {
	change := func(f func(*Record)) string {
		r := held()
		f(&r)
		return string(encoded(t, r))
	}
	good := string(encoded(t, held()))
	for name, test := range map[string]struct{ plain, want string }{
		"nothing":              {"", "decode the term record"},
		"no object":            {"[]", "decode the term record"},
		"a newer format":       {strings.Replace(good, `"format":1`, `"format":99`, 1), "upgrade this node"},
		"no format":            {"{}", "format 0"},
		"an unknown field":     {strings.Replace(good, `"epoch"`, `"weight":1,"epoch"`, 1), "unknown field"},
		"something after it":   {good + "{}", "decode the term record"},
		"a negative epoch":     {strings.Replace(good, `"epoch":7`, `"epoch":-7`, 1), "decode the term record"},
		"an unknown phase":     {change(func(r *Record) { r.Phase = "PAUSED" }), "unknown phase"},
		"held by nobody":       {change(func(r *Record) { r.Holder.ID = "" }), "held by"},
		"held without a lease": {change(func(r *Record) { r.Lease = 0 }), "lease"},
		"an endless lease":     {change(func(r *Record) { r.Lease = math.MaxInt64 }), "lease"},
		"handed to nobody":     {change(func(r *Record) { r.Phase = HandedOff }), "handed over to nobody"},
		"no batch id":          {change(func(r *Record) { r.Batch = "" }), "batch id"},
	} {
		if _, err := DecodeRecord([]byte(test.plain)); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: error %v, want one that says %q", name, err, test.want)
		}
	}
}

// The store layer leaves 4 KiB of every batch to the record.
func TestRecordLeavesRoomForWrites(t *testing.T) {
	r := held()
	r.Epoch, r.Seq, r.Lease = math.MaxUint64, math.MaxUint64, maxLease
	r.Phase, r.Target = HandedOff, strings.Repeat("t", 26)
	r.Holder = Node{
		ID: strings.Repeat("i", 26), APIAddress: "https://" + strings.Repeat("h", 253) + ":65535",
		ClusterAddress: "https://" + strings.Repeat("h", 253) + ":65535",
	}
	const sealing = 64
	if got := len(encoded(t, r)) + len(RecordKey) + sealing; got > 2<<10 {
		t.Errorf("the record takes %d bytes of a batch", got)
	}
}

// What decodes must encode to the same record: no two nodes may understand it differently.
func FuzzRecord(f *testing.F) {
	f.Add(encoded(f, held()))
	f.Add(encoded(f, FirstRecord("c")))
	f.Add([]byte(`{"format":1,"phase":"RELEASED","batch":"x","seq":18446744073709551615}`))
	f.Fuzz(func(t *testing.T, plain []byte) {
		r, err := DecodeRecord(plain)
		if err != nil {
			t.Skip()
		}
		again, err := DecodeRecord(encoded(t, r))
		if err != nil || again != r {
			t.Errorf("%q decodes to %+v, which encodes to %+v, %v", plain, r, again, err)
		}
		if !bytes.Equal(encoded(t, r), encoded(t, again)) {
			t.Errorf("%+v has two encodings", r)
		}
	})
}
