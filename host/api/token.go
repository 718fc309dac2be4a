package api

import (
	"context"
	"errors"
	"net/http"

	"github.com/holdfast/holdfast/host/auth"
)

// lookupSelf answers auth/token/lookup-self: what the token that was sent is.
func (l *Logical) lookupSelf(_ context.Context, c *call, rest string) (answer, error) {
	if rest != "" || c.Method != http.MethodGet && !c.isWrite() {
		return answer{}, notAllowed()
	}
	return readOf(tokenView(c.Token, c.token)), nil
}

// lookupToken answers auth/token/lookup: what the token in the body is, or the one that was
// sent if there is none.
func (l *Logical) lookupToken(ctx context.Context, c *call, rest string) (answer, error) {
	if rest != "" || c.Method != http.MethodGet && !c.isWrite() {
		return answer{}, notAllowed()
	}
	body := struct {
		Token string `json:"token"`
	}{Token: c.Token}
	if err := decodeBody(c.Body, &body); err != nil {
		return answer{}, err
	}
	entry, err := l.tokens.Lookup(ctx, body.Token)
	if errors.Is(err, auth.ErrPermission) {
		return answer{}, &refusal{status: http.StatusForbidden, messages: []string{"bad token"}}
	}
	if err != nil {
		return answer{}, err
	}
	return readOf(tokenView(body.Token, entry)), nil
}

func tokenView(token string, e *auth.Entry) object {
	return object{
		"id": token, "accessor": e.Accessor, "policies": e.Policies, "path": e.Path, "meta": e.Meta,
		"display_name": e.DisplayName, "orphan": e.Orphan, "creation_time": e.CreationTime,
		"type": "service", "entity_id": "", "num_uses": 0, "renewable": false,
		"ttl": 0, "creation_ttl": 0, "explicit_max_ttl": 0, "expire_time": nil,
	}
}
