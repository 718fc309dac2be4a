package kv

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// mergePatch applies a JSON merge patch (RFC 7396) to target: members of patch replace
// those of target, null removes them, objects merge. Numbers are copied, not parsed.
// Both are valid JSON of bounded depth.
func mergePatch(target, patch json.RawMessage) (json.RawMessage, error) {
	if !isObject(patch) {
		return patch, nil
	}
	var changes map[string]json.RawMessage
	if err := json.Unmarshal(patch, &changes); err != nil {
		return nil, fmt.Errorf("decode patch: %w", err)
	}
	merged := map[string]json.RawMessage{}
	if isObject(target) {
		if err := json.Unmarshal(target, &merged); err != nil {
			return nil, fmt.Errorf("decode what is patched: %w", err)
		}
	}
	for name, change := range changes {
		if bytes.Equal(bytes.TrimSpace(change), []byte("null")) {
			delete(merged, name)
			continue
		}
		member, err := mergePatch(merged[name], change)
		if err != nil {
			return nil, err
		}
		merged[name] = member
	}
	return encodeJSON(merged)
}
