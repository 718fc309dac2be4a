package cluster

import (
	"context"
	"fmt"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/holdfast/holdfast/host/cluster/proto/holdfast/cluster/v1alpha"
)

// Compare tells the node at target how far this one knows the term record to have come, and
// returns how far that one does. It uses a connection of its own, for target is
// seldom the active node, and makes one attempt, for as long as ctx allows.
func (d *Dialer) Compare(ctx context.Context, target Target, mine *pb.Sighting) (theirs *pb.Sighting, err error) {
	l, err := d.dial(target)
	if err != nil {
		return nil, err
	}
	defer d.closeLinks([]*link{l})
	theirs, err = l.client.Compare(ctx, mine)
	if err != nil {
		return nil, fmt.Errorf("compare with %s: %w", target.Addr, err)
	}
	return theirs, nil
}

// Compare answers another node.
func (s *service) Compare(ctx context.Context, theirs *pb.Sighting) (*pb.Sighting, error) {
	if s.cfg.Compare == nil {
		return nil, status.Error(codes.Unimplemented, "this node does not tell what it saw")
	}
	if len(theirs.GetFrom()) > maxMemberFieldBytes {
		return nil, status.Errorf(codes.InvalidArgument, "an address of %d bytes, the limit is %d", len(theirs.GetFrom()), maxMemberFieldBytes)
	}
	return s.cfg.Compare(ctx, theirs), nil
}

// list returns the members for the standbys.
func (s *service) list() []*pb.Listed {
	if s.cfg.List == nil {
		return nil
	}
	return s.cfg.List()
}

// epoch returns what echoes tell.
func (d *Dialer) epoch() uint64 {
	if d.cfg.Epoch == nil {
		return 0
	}
	return d.cfg.Epoch()
}
