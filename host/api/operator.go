package api

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"net/http"
	"time"

	"github.com/holdfast/holdfast/host/seal"
)

// initWait bounds how long the question whether the cluster is initialised waits for the store.
const initWait = 5 * time.Second

// fail maps err to its answer and logs it if it was not expected.
func (s *server) fail(err error, doing string) *Response {
	resp, expected := failure(err)
	if !expected {
		s.cfg.Logger.Error("unexpected error", "doing", doing, "error", err)
	}
	return resp
}

func (s *server) sysInit(ctx context.Context, r *http.Request) *Response {
	switch {
	case isRead(r):
		ctx, cancel := context.WithTimeout(ctx, initWait)
		defer cancel()
		initialized, err := s.cfg.Node.Initialized(ctx)
		if err != nil {
			return s.fail(err, "ask whether the cluster is initialized")
		}
		return plain(object{"initialized": initialized})
	case isWrite(r):
		return s.initialize(ctx, r)
	default:
		return methodNotAllowed()
	}
}

// initBody is the body of sys/init.
type initBody struct {
	SecretShares    int `json:"secret_shares"`
	SecretThreshold int `json:"secret_threshold"`

	StoredShares      int      `json:"stored_shares"`
	PGPKeys           []string `json:"pgp_keys"`
	RootTokenPGPKey   string   `json:"root_token_pgp_key"`
	RecoveryShares    int      `json:"recovery_shares"`
	RecoveryThreshold int      `json:"recovery_threshold"`
	RecoveryPGPKeys   []string `json:"recovery_pgp_keys"`
}

// check says why the cluster can not be initialised like that. What a client asks for
// to protect the keys is never ignored.
func (b initBody) check() error {
	switch {
	case b.RecoveryShares != 0 || b.RecoveryThreshold != 0 || len(b.RecoveryPGPKeys) != 0:
		return badRequest("parameters recovery_shares,recovery_threshold,recovery_pgp_keys not applicable to seal type shamir")
	case b.StoredShares != 0:
		return badRequest("parameter stored_shares not applicable to seal type shamir")
	case len(b.PGPKeys) != 0 || b.RootTokenPGPKey != "":
		return badRequest("encryption of the result with PGP keys is not supported yet")
	}
	if err := seal.ValidateSplit(b.SecretShares, b.SecretThreshold); err != nil {
		return badRequest("secret_shares, secret_threshold: " + err.Error())
	}
	return nil
}

func (s *server) initialize(ctx context.Context, r *http.Request) *Response {
	raw, refusal := readJSON(r)
	if refusal != nil {
		return refusal
	}
	var body initBody
	err := decodeBody(raw, &body)
	if err == nil {
		err = body.check()
	}
	if err != nil {
		return s.fail(err, "read the request")
	}
	result, err := s.cfg.Node.Init(ctx, InitRequest{Shares: body.SecretShares, Threshold: body.SecretThreshold})
	if errors.Is(err, ErrInitialized) {
		return failed(http.StatusBadRequest, "Vault is already initialized")
	}
	if err != nil {
		return s.fail(err, "initialize the cluster")
	}
	keys := make([]string, len(result.Shares))
	keysBase64 := make([]string, len(result.Shares))
	for i, share := range result.Shares {
		keys[i] = hex.EncodeToString(share)
		keysBase64[i] = base64.StdEncoding.EncodeToString(share)
	}
	return plain(object{"keys": keys, "keys_base64": keysBase64, "root_token": result.RootToken})
}

func (s *server) unseal(ctx context.Context, r *http.Request) *Response {
	if !isWrite(r) {
		return methodNotAllowed()
	}
	raw, refusal := readJSON(r)
	if refusal != nil {
		return refusal
	}
	var body struct {
		Key     string `json:"key"`
		Reset   bool   `json:"reset"`
		Migrate bool   `json:"migrate"`
	}
	if err := decodeBody(raw, &body); err != nil {
		return s.fail(err, "read the request")
	}
	node := s.cfg.Node
	switch {
	case body.Migrate:
		return failed(http.StatusBadRequest, "migration of the seal is not supported")
	case body.Reset:
		node.ResetUnseal()
		return plain(sealStatusOf(node.Status()))
	case body.Key == "":
		return failed(http.StatusBadRequest, "'key' must be specified in request body as JSON, or 'reset' set to true")
	}
	share, err := seal.ParseShare(body.Key)
	if err != nil {
		return failed(http.StatusBadRequest, err.Error())
	}
	defer clear(share)
	if node.Status().Sealed {
		if err := node.Unseal(ctx, share); err != nil {
			return s.fail(err, "unseal")
		}
	}
	return plain(sealStatusOf(node.Status()))
}

func (s *server) seal(ctx context.Context, r *http.Request) *Response {
	if !isWrite(r) {
		return methodNotAllowed()
	}
	if s.cfg.Node.Status().Sealed {
		return sealed()
	}
	if err := s.cfg.Node.Seal(ctx, token(r.Header)); err != nil {
		return s.fail(err, "seal")
	}
	return &Response{Status: http.StatusNoContent}
}

// acceptRestore has the cluster go on from the store as it is.
func (s *server) acceptRestore(ctx context.Context, r *http.Request) *Response {
	if !isWrite(r) {
		return methodNotAllowed()
	}
	if s.cfg.Node.Status().Sealed {
		return sealed()
	}
	if err := s.cfg.Node.AcceptRestore(ctx, token(r.Header)); err != nil {
		return s.fail(err, "accept a restored store")
	}
	return &Response{Status: http.StatusNoContent}
}
