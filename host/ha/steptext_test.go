package ha

import (
	"fmt"
	"strings"

	"github.com/holdfast/holdfast/host/clock"
)

// stepText is one step of a node in words: the event, what came of it, and the state.
func stepText(e Event, st State, effects []Effect, now clock.Instant) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%-28s", eventText(e))
	for i, f := range effects {
		b.WriteString([]string{" -> ", "; "}[min(i, 1)] + effectText(f, st))
	}
	return b.String() + "  [" + stateText(st, now) + "]"
}

func eventText(e Event) string {
	switch e := e.(type) {
	case Seen:
		return fmt.Sprintf("seen %s: %s", e.Version, recordText(e.Record))
	case Gone:
		return "gone: " + e.Reason
	case Done:
		return "done " + string(e.Version)
	case StepDown:
		return "stepdown " + e.Target
	case WritesChecked:
		return fmt.Sprintf("writes are taken: %v", e.Taken)
	case Lost:
		if e.Unwanted {
			return "lost, unwanted"
		}
	}
	return strings.ToLower(strings.TrimSuffix(strings.TrimPrefix(fmt.Sprintf("%T", e), "ha."), "Ready"))
}

func recordText(r Record) string {
	text := fmt.Sprintf("%s epoch %d seq %d", r.Phase, r.Epoch, r.Seq)
	if r.Holder.ID != "" {
		text += " by " + r.Holder.ID
	}
	if r.Target != "" {
		text += " target " + r.Target
	}
	return text
}

// effectText is an effect that led to st.
func effectText(f Effect, st State) string {
	switch f := f.(type) {
	case Send:
		a := st.Attempt
		text := fmt.Sprintf("send %s on %s: %s epoch %d seq %d batch %s", kindNames[a.Kind], a.Guard, a.Record.Phase,
			a.Record.Epoch, a.Record.Seq, a.Record.Batch)
		if a.Record.Generation > 0 {
			text += fmt.Sprintf(" generation %d", a.Record.Generation)
		}
		if a.Record.Target != "" {
			text += " target " + a.Record.Target
		}
		if a.Kind == TakeOver {
			text += " before " + string(a.Record.Before)
		}
		if f.Again {
			text += ", again"
		}
		return text
	case Resolve:
		return "resolve " + [...]string{"applied", "again", "refused", "doubtful"}[f.Result]
	case Become:
		return fmt.Sprintf("become %v: %s", f.Role, f.Reason)
	case Refuse:
		return "refuse: " + f.Reason
	case Read:
		return "read"
	case Look:
		return "look"
	case Ask:
		return "ask the others"
	case CheckWrites:
		return "check writes"
	}
	return fmt.Sprintf("%T", f)
}

var kindNames = [...]string{"nothing", "carry", "probe", "settle", "take-over", "give-up", "accept"}

func stateText(st State, now clock.Instant) string {
	text := st.Role.String()
	if st.Known {
		text += " at " + string(st.Version)
	} else {
		text += " without a record"
	}
	if st.Suspended {
		text += ", suspended"
	}
	if st.Leaving {
		text += ", leaving"
	}
	if st.Attempt.Kind != None {
		text += fmt.Sprintf(", %s %s", kindNames[st.Attempt.Kind], [...]string{"sending", "pausing", "reading", "blind"}[st.Attempt.Stage])
	}
	if lease := st.Lease.Sub(now); st.Lease != 0 {
		text += fmt.Sprintf(", lease %v", lease)
	}
	return text + fmt.Sprintf(", wake %v", st.WakeAt(now).Sub(now))
}
