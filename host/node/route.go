package node

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/holdfast/holdfast/host/api"
	"github.com/holdfast/holdfast/host/cluster"
	pb "github.com/holdfast/holdfast/host/cluster/proto/holdfast/cluster/v1alpha"
)

// replayPause is the pause before a request that has provably not run is sent again,
// if nothing changes before: the other node may be a moment ahead or behind.
const replayPause = 20 * time.Millisecond

// Route implements api.Node. A request that has provably not run is held and sent
// again, here or to whichever node is active then, for as long as Config.Hold.
func (n *Node) Route(ctx context.Context, req *api.Request) *api.Response {
	held := time.NewTimer(n.cfg.Hold)
	defer held.Stop()
	var refused *api.Response // the last 503 that says why
	for {
		s := n.session.Load()
		if s == nil {
			return api.Failed(http.StatusServiceUnavailable, "Vault is sealed")
		}
		v := s.view.current.Load()
		resp := s.attempt(ctx, v, req)
		if resp != nil && resp.Status != http.StatusServiceUnavailable {
			return resp
		}
		if resp := s.alone(ctx, req); resp != nil {
			return resp
		}
		if resp != nil {
			refused = resp // says why
		}
		again := time.NewTimer(replayPause)
		if v.active == (cluster.Target{}) && !v.ready {
			again.Stop() // nobody to ask: only a change helps
		}
		select {
		case <-v.changed:
		case <-again.C:
		case <-held.C:
			again.Stop()
			return orUnavailable(refused)
		case <-ctx.Done():
			again.Stop()
			return orUnavailable(refused)
		}
		again.Stop()
	}
}

func orUnavailable(refused *api.Response) *api.Response {
	if refused != nil {
		return refused
	}
	return api.Unavailable("no node is active, or it can not be reached; nothing was done, try again")
}

// attempt runs the request where v says. It returns nil, or a 503 that says more, if the
// request has provably not run (P5).
func (s *session) attempt(ctx context.Context, v *view, req *api.Request) *api.Response {
	switch {
	case v.ready:
		return s.logical.Handle(ctx, req)
	case v.damage != "":
		return damaged(v)
	case v.active != (cluster.Target{}):
		return s.forward(ctx, v, req)
	default:
		return s.unusable()
	}
}

// damaged is the answer of an active node that can not work on the store as it is. No
// other node could, so the role stays where it is.
func damaged(v *view) *api.Response {
	return api.Failed(http.StatusInternalServerError, "the active node can not serve: "+v.damage)
}

// forward sends the request to the active node.
func (s *session) forward(ctx context.Context, v *view, req *api.Request) *api.Response {
	answer, sent, err := s.dialer.Forward(ctx, v.active, encodeRequest(v.snapshot.Record.Epoch, req))
	switch {
	case err == nil && !answer.GetRefused():
		return decodeResponse(answer)
	case err == nil:
		if answer.GetEpoch() > v.snapshot.Record.Epoch {
			s.driver.CheckRecord() // this node is behind
		}
		if answer.GetStatus() != 0 {
			return decodeResponse(answer)
		}
		return nil
	case errors.Is(err, cluster.ErrRequestTooLarge):
		return api.Failed(http.StatusRequestEntityTooLarge, err.Error())
	case errors.Is(err, cluster.ErrResponseTooLarge):
		return api.Failed(http.StatusInternalServerError, err.Error())
	}
	s.driver.CheckRecord()
	if !sent || req.Method == http.MethodGet || req.Method == "LIST" {
		if ctx.Err() != nil {
			return api.Unavailable("the active node did not answer in time; nothing was done, try again")
		}
		return nil
	}
	s.node.cfg.Logger.Warn("forward a request", "error", err)
	return api.Failed(http.StatusGatewayTimeout, "outcome unknown: the active node was lost while it ran the request")
}

// Forward implements cluster.Handler: it runs what a standby sends here, if this node
// is active in the epoch the standby means.
func (s *session) Forward(ctx context.Context, req *pb.ForwardRequest) *pb.ForwardResponse {
	v := s.view.current.Load()
	epoch := v.snapshot.Record.Epoch
	if v.damage != "" && req.GetEpoch() == epoch {
		return encodeResponse(damaged(v))
	}
	if !v.ready || req.GetEpoch() != epoch {
		return &pb.ForwardResponse{Refused: true, Epoch: epoch}
	}
	request, err := decodeRequest(req)
	if err != nil {
		return encodeResponse(api.Failed(http.StatusBadRequest, err.Error()))
	}
	resp := s.logical.Handle(ctx, request)
	answer := encodeResponse(resp)
	if resp.Status == http.StatusServiceUnavailable {
		answer.Refused, answer.Epoch = true, epoch // it has not run: the sender holds it, and knows why
	}
	return answer
}

func encodeRequest(epoch uint64, req *api.Request) *pb.ForwardRequest {
	return &pb.ForwardRequest{
		Epoch: epoch, Method: req.Method, Path: req.Path, Query: url.Values(req.Query).Encode(),
		Token: req.Token, Strict: req.Strict, MergePatch: req.MergePatch,
		Body: req.Body, RemoteAddr: req.RemoteAddr,
	}
}

func decodeRequest(in *pb.ForwardRequest) (*api.Request, error) {
	query, err := url.ParseQuery(in.GetQuery())
	if err != nil {
		return nil, fmt.Errorf("the query of a forwarded request: %w", err)
	}
	return &api.Request{
		Method: in.GetMethod(), Path: in.GetPath(), Query: query,
		Token: in.GetToken(), Strict: in.GetStrict(), MergePatch: in.GetMergePatch(),
		Body: in.GetBody(), RemoteAddr: in.GetRemoteAddr(),
	}, nil
}

func encodeResponse(resp *api.Response) *pb.ForwardResponse {
	return &pb.ForwardResponse{Status: int32(resp.Status), Body: resp.Body, RetryAfter: int32(resp.RetryAfter)}
}

func decodeResponse(in *pb.ForwardResponse) *api.Response {
	return &api.Response{Status: int(in.GetStatus()), Body: in.GetBody(), RetryAfter: int(in.GetRetryAfter())}
}
