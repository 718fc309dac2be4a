package ha

import (
	"bufio"
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/holdfast/holdfast/host/clock"
	"github.com/holdfast/holdfast/sdk/storage"
)

var update = flag.Bool("update", false, "rewrite the expected output in testdata/step")

// TestStep runs the scripts in testdata/step, each a conversation of one node's State with
// its store. A line is an event, after a delay if it begins with one; below it, indented,
// is what Step made of it: the effects, and the state after them.
//
//	new [solo] [careful]     a standby, node a, that knows nothing
//	active                   the same node, active in epoch 1, with nothing in flight
//	[+DELAY] tick | work | conflict | unapplied | rejected | lost | unwanted | readfailed
//	[+DELAY] done VERSION
//	[+DELAY] stepdown [TARGET]
//	[+DELAY] seen VERSION PHASE|own|doubt [FIELD=VALUE ...]; read likewise, by a read begun now
//	[+DELAY] heard|told [FIELD=VALUE ...]; told answers the last ask
//	[+DELAY] gone DAMAGE [VERSION]
//	[+DELAY] writes taken|refused
//	[+DELAY] accept
//
// unwanted is lost, when no request waits for what was sent any more.
// own is the record that the Commit in flight writes, doubt the one of the Carry that is
// being settled.
func TestStep(t *testing.T) {
	files, err := filepath.Glob("testdata/step/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := runScript(t, want)
			if *update {
				if err := os.WriteFile(file, got, 0o644); err != nil {
					t.Fatal(err)
				}
			} else if !bytes.Equal(got, want) {
				t.Errorf("%s: got\n%s\nwant\n%s", file, got, want)
			}
		})
	}
}

// script is a State in conversation.
type script struct {
	state State
	now   clock.Instant
	out   bytes.Buffer
	asked uint64 // Gaps of the last Ask
}

func runScript(t *testing.T, text []byte) []byte {
	t.Helper()
	s := &script{}
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() {
		line := lines.Text()
		if strings.HasPrefix(line, "\t") {
			continue // output of an earlier run
		}
		fmt.Fprintln(&s.out, line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if err := s.run(strings.Fields(line)); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
	}
	return s.out.Bytes()
}

func (s *script) run(words []string) error {
	if after, ok := strings.CutPrefix(words[0], "+"); ok {
		d, err := time.ParseDuration(after)
		if err != nil {
			return err
		}
		s.now, words = s.now.Add(d), words[1:]
	}
	switch words[0] {
	case "new", "active":
		s.start(words)
		return nil
	}
	e, err := s.parse(words)
	if err != nil {
		return err
	}
	s.step(e)
	return nil
}

func (s *script) start(words []string) {
	s.now = clock.Instant(100 * time.Second)
	s.state = State{Self: Node{ID: "a", APIAddress: "https://a"}, Timing: DefaultTiming}
	s.state.Self.ClusterAddress = "https://a:8201"
	s.state.Solo, s.state.Careful = slices.Contains(words, "solo"), slices.Contains(words, "careful")
	if words[0] == "new" {
		return
	}
	for _, e := range []Event{Seen{Version: "v1", Record: FirstRecord("c")}, Done{Version: "v2"}, Done{Version: "v3"}} {
		s.state, _ = s.state.Step(e, s.now)
	}
}

func (s *script) parse(words []string) (Event, error) {
	arg := append(words[1:], "")[0]
	switch words[0] {
	case "seen":
		r, err := s.record(words[2], words[3:])
		return Seen{Version: storage.Version(arg), Record: r}, err
	case "read":
		r, err := s.record(words[2], words[3:])
		return Seen{Version: storage.Version(arg), Record: r, Asked: s.now}, err
	case "heard", "told":
		r, err := s.record("ACTIVE", words[1:])
		return Heard{Newest: r.sighting(), Asked: words[0] == "told", Gaps: s.asked}, err
	case "writes":
		return WritesChecked{Taken: arg == "taken"}, nil
	case "accept":
		return AcceptRestore{Cluster: "c"}, nil
	case "done":
		return Done{Version: storage.Version(arg)}, nil
	case "stepdown":
		return StepDown{Target: arg, Reason: "asked to"}, nil
	case "gone":
		return Gone{Damage: Damage(arg), Reason: "it is " + arg, Version: storage.Version(append(words[2:], "")[0])}, nil
	}
	plain := map[string]Event{
		"tick": Tick{}, "work": WorkReady{}, "conflict": Conflict{}, "unapplied": Unapplied{},
		"rejected": Rejected{}, "lost": Lost{}, "unwanted": Lost{Unwanted: true}, "readfailed": ReadFailed{},
	}
	e, ok := plain[words[0]]
	if !ok {
		return nil, fmt.Errorf("no such event")
	}
	return e, nil
}

func (s *script) record(phase string, fields []string) (Record, error) {
	r := Record{Format: firstFormat, Cluster: "c", Phase: Phase(phase), Batch: "x", Lease: 2 * time.Second}
	switch phase {
	case "own":
		r = s.state.Attempt.Record
	case "doubt":
		r = s.state.Attempt.Record
		r.Batch = s.state.Attempt.Doubt
	}
	for _, field := range fields {
		name, value, _ := strings.Cut(field, "=")
		n, _ := strconv.ParseUint(value, 10, 64)
		switch name {
		case "holder":
			r.Holder = Node{ID: value, APIAddress: "https://" + value}
		case "at":
			r.Holder.ClusterAddress = "https://" + value + ":8201"
		case "generation":
			r.Generation = n
		case "epoch":
			r.Epoch = n
		case "seq":
			r.Seq = n
		case "batch":
			r.Batch = BatchID(value)
		case "before":
			r.Before = BatchID(value)
		case "target":
			r.Target = value
		case "lease":
			lease, err := time.ParseDuration(value)
			if err != nil {
				return Record{}, err
			}
			r.Lease = lease
		default:
			return Record{}, fmt.Errorf("no field %q", name)
		}
	}
	return r, nil
}

func (s *script) step(e Event) {
	var effects []Effect
	s.state, effects = s.state.Step(e, s.now)
	for _, f := range effects {
		if ask, ok := f.(Ask); ok {
			s.asked = ask.Gaps
		}
		fmt.Fprintln(&s.out, "\t"+effectText(f, s.state))
	}
	fmt.Fprintln(&s.out, "\t= "+stateText(s.state, s.now))
}
