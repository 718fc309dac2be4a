package cluster

import (
	"context"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/holdfast/holdfast/host/cluster/proto/holdfast/cluster/v1alpha"
)

// Attach registers the standby for as long as its stream lives and its echoes come.
func (s *service) Attach(stream pb.Cluster_AttachServer) error {
	ctx := stream.Context()
	instance, ok := RemoteInstance(ctx)
	if !ok {
		return status.Error(codes.Unauthenticated, "the connection has no instance id")
	}
	received := s.receive(ctx, stream)
	limit := missedEchoes * s.cfg.EchoInterval
	silence := time.NewTimer(limit)
	defer silence.Stop()

	standby, err := s.register(instance, received, silence)
	if err != nil {
		return err
	}
	defer s.cfg.Members.remove(standby)
	s.cfg.Log.Debug("standby attached", "instance_id", instance)
	err = s.attend(stream, standby, received, silence, limit)
	s.cfg.Log.Debug("standby detached", "instance_id", instance, "reason", err)
	return err
}

// receive reads the stream into a channel that it closes at the end: gRPC's Recv takes no
// deadline. The reader ends once the handler has returned, so Serve waits for it.
func (s *service) receive(ctx context.Context, stream pb.Cluster_AttachServer) <-chan *pb.AttachRequest {
	received := make(chan *pb.AttachRequest)
	s.readers.Go(func() {
		defer close(received)
		for {
			req, err := stream.Recv()
			if err != nil {
				return
			}
			select {
			case received <- req:
			case <-ctx.Done():
				return
			}
		}
	})
	return received
}

// register waits for the first message, which says who the standby is.
func (s *service) register(instance string, received <-chan *pb.AttachRequest, silence *time.Timer) (*attachment, error) {
	select {
	case req, ok := <-received:
		if !ok {
			return nil, status.Error(codes.Canceled, "the standby closed the stream")
		}
		member, err := memberFromProto(req.GetMember(), instance)
		if err != nil {
			return nil, status.Error(codes.InvalidArgument, err.Error())
		}
		if !s.cfg.Speaks.Talks(member.Speaks) {
			return nil, status.Errorf(codes.FailedPrecondition,
				"%s speaks protocol %d and this node %d: upgrade the older of the two, by one release at a time",
				member.APIAddress, member.Speaks.Protocol, s.cfg.Speaks.Protocol)
		}
		member.Epoch = req.GetEpoch()
		standby, err := s.cfg.Members.add(member)
		if err != nil {
			return nil, status.Error(codes.ResourceExhausted, err.Error())
		}
		return standby, nil
	case <-silence.C:
		return nil, status.Error(codes.DeadlineExceeded, "the standby did not say who it is")
	case <-s.done:
		return nil, errStopping()
	}
}

// attend answers echoes and passes notices on.
func (s *service) attend(
	stream pb.Cluster_AttachServer, standby *attachment,
	received <-chan *pb.AttachRequest, silence *time.Timer, limit time.Duration,
) error {
	for {
		answer := &pb.AttachResponse{}
		select {
		case <-standby.notices:
			answer.CheckRecord = true
		case req, ok := <-received:
			if !ok {
				return status.Error(codes.Canceled, "the standby closed the stream")
			}
			silence.Reset(limit)
			if err := s.echo(standby, req); err != nil {
				return err
			}
			answer.Members = s.list()
		case <-silence.C:
			return status.Errorf(codes.DeadlineExceeded, "no echo for %s", limit)
		case <-standby.replaced:
			return status.Error(codes.Aborted, "the standby attached anew")
		case <-s.done:
			return errStopping()
		}
		if err := stream.Send(answer); err != nil {
			return err
		}
	}
}

func (s *service) echo(standby *attachment, req *pb.AttachRequest) error {
	s.cfg.Members.saw(standby, req.GetEpoch())
	if req.GetMember() == nil {
		s.cfg.Members.update(standby, nil)
		return nil
	}
	member, err := memberFromProto(req.GetMember(), standby.instance)
	if err != nil {
		return status.Error(codes.InvalidArgument, err.Error())
	}
	s.cfg.Members.update(standby, &member)
	return nil
}

func errStopping() error {
	return status.Error(codes.Unavailable, "the node is stopping or sealing")
}
