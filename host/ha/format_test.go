package ha

import (
	"errors"
	"strings"
	"testing"

	"github.com/holdfast/holdfast/host/version"
)

// What older members can not read is not written before all members can read it.
func TestRecordIsWrittenInTheFormatInForce(t *testing.T) {
	first := `{"format":1,"cluster":"c","epoch":7,"seq":1234,"batch":"a:9","before":"b:3",` +
		`"holder":{"id":"a","api":"https://10.0.0.5:8200","cluster":"https://10.0.0.5:8201"},"phase":"ACTIVE","lease":2000000000}`
	named := `{"format":3,"cluster":"c","epoch":7,"seq":1234,"batch":"a:9","before":"b:3",` +
		`"holder":{"id":"a","api":"https://10.0.0.5:8200","cluster":"https://10.0.0.5:8201","release":"1.2.3"},"phase":"ACTIVE","lease":2000000000,` +
		`"layout":1,"protocol":1}`
	for name, test := range map[string]struct {
		speak version.Set // by all members
		want  string
	}{
		"nothing is known of the members": {version.Set{}, first},
		"one is of the release before":    {version.Set{Record: namedFormat - 1, Layout: 1, Protocol: 1}, first},
		"all are of this release":         {version.Set{Record: namedFormat, Layout: 1, Protocol: 1}, named},
	} {
		t.Run(name, func(t *testing.T) {
			record := held()
			record.Holder.Release = "1.2.3"
			got, err := record.raised(test.speak).Encode()
			if err != nil || string(got) != test.want {
				t.Fatalf("encoded as\n%s, %v; want\n%s", got, err, test.want)
			}
			if got := record.RaisedBy(test.speak); got != (test.want == named) {
				t.Errorf("raised: %t", got)
			}
			decoded, err := DecodeRecord(got)
			if err != nil {
				t.Fatal(err)
			}
			// Whoever takes over keeps the format, whatever it knows of the members.
			again, err := decoded.Encode()
			if err != nil || string(again) != test.want {
				t.Errorf("encoded again as\n%s, %v", again, err)
			}
			if got, want := decoded.InForce().Record, decoded.Format; got != want {
				t.Errorf("in force: %d, want %d", got, want)
			}
		})
	}
}

func TestRecordOfANewerRelease(t *testing.T) {
	for name, test := range map[string]struct{ plain, want string }{
		"format": {
			`{"format":99,"holder":{"api":"http://a:8200","release":"9.0.0","unheard of":1},"epoch":"in words"}`,
			"the term record has version 99 and this node knows versions up to 3: upgrade this node; release 9.0.0 at http://a:8200 wrote it",
		},
		"layout": {
			`{"format":3,"layout":99,"holder":{"api":"http://a:8200"}}`,
			"the layout of the store has version 99 and this node knows versions up to 1: upgrade this node; a newer release at http://a:8200 wrote it",
		},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := DecodeRecord([]byte(test.plain)); !errors.Is(err, ErrNewerFormat) || err.Error() != test.want {
				t.Errorf("DecodeRecord = %v, want %s", err, test.want)
			}
		})
	}
}

func TestRecordWithMoreThanItsFormatHas(t *testing.T) {
	r := held().raised(version.Spoken())
	older := strings.Replace(string(encoded(t, r)), `"format":3`, `"format":1`, 1)
	if _, err := DecodeRecord([]byte(older)); err == nil {
		t.Errorf("%s was decoded", older)
	}
}
