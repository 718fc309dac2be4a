package wire

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/holdfast/holdfast/sdk/proto/holdfast/storage/v1"
	"github.com/holdfast/holdfast/sdk/storage"
)

// pluginService answers for the process.
type pluginService struct {
	pb.UnimplementedPluginServer

	server *Server
}

func (p pluginService) Ping(context.Context, *pb.PingRequest) (*pb.PingResponse, error) {
	return &pb.PingResponse{}, nil
}

func (p pluginService) Describe(context.Context, *pb.DescribeRequest) (*pb.DescribeResponse, error) {
	d := p.server.impl.Description
	resp := &pb.DescribeResponse{Name: d.Name, Version: d.Version, Sdk: d.SDK, Services: d.Services}
	for _, o := range d.Options {
		resp.Options = append(resp.Options, &pb.Option{
			Name:         o.Name,
			Type:         o.Type,
			DefaultValue: o.Default,
			Description:  o.Description,
			Required:     o.Required,
			Secret:       o.Secret,
		})
	}
	return resp, nil
}

func (p pluginService) Configure(ctx context.Context, req *pb.ConfigureRequest) (*pb.ConfigureResponse, error) {
	resp, err := p.configure(ctx, req)
	if errors.Is(err, ErrInvalidConfig) {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	return resp, toStatus(err)
}

func (p pluginService) configure(ctx context.Context, req *pb.ConfigureRequest) (*pb.ConfigureResponse, error) {
	backend, capabilities, err := p.server.impl.Open(ctx, []byte(req.GetConfigJson()))
	if err != nil {
		return nil, err
	}
	if _, ok := backend.(storage.HABackend); p.server.impl.Description.HA && !ok {
		err := fmt.Errorf("%w: it describes itself as an HA backend and opened one that is not", ErrBroken)
		return nil, errors.Join(err, backend.Close())
	}
	if err := ctx.Err(); err != nil { // nobody is left to learn the id
		return nil, errors.Join(err, backend.Close())
	}
	open := newOpenBackend(backend, capabilities.Limits)
	id, err := p.server.add(open)
	if err != nil {
		return nil, errors.Join(err, open.close())
	}
	return &pb.ConfigureResponse{
		BackendId: id,
		Limits: &pb.Limits{
			MaxKeyBytes:   int64(capabilities.Limits.MaxKeyBytes),
			MaxValueBytes: int64(capabilities.Limits.MaxValueBytes),
			MaxOps:        int64(capabilities.Limits.MaxOps),
			MaxBatchBytes: int64(capabilities.Limits.MaxBatchBytes),
		},
		HaDisabled: capabilities.HADisabled,
	}, nil
}

func (p pluginService) Close(_ context.Context, req *pb.CloseRequest) (*pb.CloseResponse, error) {
	if b := p.server.remove(req.GetBackendId()); b != nil {
		if err := b.close(); err != nil {
			return nil, toStatus(fmt.Errorf("close backend: %w", err))
		}
	}
	return &pb.CloseResponse{}, nil
}

// backendService passes the calls of storage.Backend on.
type backendService struct {
	pb.UnimplementedBackendServer

	server *Server
}

func (s backendService) Get(ctx context.Context, req *pb.GetRequest) (*pb.GetResponse, error) {
	resp := &pb.GetResponse{}
	err := s.server.call(ctx, req.GetBackendId(), func(ctx context.Context, b *openBackend) error {
		if err := b.limits.CheckKey(req.GetKey()); err != nil {
			return err
		}
		item, err := b.backend.Get(ctx, req.GetKey())
		resp.Item = itemToProto(item)
		return err
	})
	return resp, err
}

func (s backendService) List(ctx context.Context, req *pb.ListRequest) (*pb.ListResponse, error) {
	resp := &pb.ListResponse{}
	err := s.server.call(ctx, req.GetBackendId(), func(ctx context.Context, b *openBackend) error {
		if err := storage.ValidatePrefix(req.GetPrefix()); err != nil {
			return err
		}
		var err error
		resp.Names, err = b.backend.List(ctx, req.GetPrefix(), req.GetAfter(), clampInt(req.GetLimit()))
		return err
	})
	return resp, err
}

func (s backendService) Write(ctx context.Context, req *pb.WriteRequest) (*pb.WriteResponse, error) {
	err := s.server.call(ctx, req.GetBackendId(), func(ctx context.Context, b *openBackend) error {
		ops := opsFromProto(req.GetOps())
		if err := b.limits.CheckBatch(nil, ops); err != nil {
			return err
		}
		return b.backend.Write(ctx, ops)
	})
	return &pb.WriteResponse{}, err
}

// haService passes the calls of storage.HABackend on. It is registered only if every
// backend of the plugin is one; see pluginService.configure.
type haService struct {
	pb.UnimplementedHABackendServer

	server *Server
}

func (s haService) Commit(ctx context.Context, req *pb.CommitRequest) (*pb.CommitResponse, error) {
	resp := &pb.CommitResponse{}
	err := s.server.call(ctx, req.GetBackendId(), func(ctx context.Context, b *openBackend) error {
		ha, ok := b.backend.(storage.HABackend)
		if !ok {
			return storage.ErrUnsupported
		}
		guard, ops := guardFromProto(req.GetGuard()), opsFromProto(req.GetOps())
		if err := checkCommit(b.limits, guard, ops); err != nil {
			return err
		}
		settle := b.will.begin(guard) // of a Commit that panics the outcome stays unknown
		version, err := ha.Commit(ctx, guard, ops)
		settle(version, err)
		resp.Version = []byte(version)
		return err
	})
	return resp, err
}

func (s haService) Watch(ctx context.Context, req *pb.WatchRequest) (*pb.WatchResponse, error) {
	resp := &pb.WatchResponse{}
	err := s.server.call(ctx, req.GetBackendId(), func(ctx context.Context, b *openBackend) error {
		ha, ok := b.backend.(storage.HABackend)
		if !ok {
			return storage.ErrUnsupported
		}
		seen := storage.Version(req.GetSeen())
		if err := errors.Join(b.limits.CheckKey(req.GetKey()), checkVersion(seen)); err != nil {
			return err
		}
		item, err := ha.Watch(ctx, req.GetKey(), seen)
		resp.Item = itemToProto(item)
		return err
	})
	return resp, err
}

func itemToProto(it storage.Item) *pb.Item {
	return &pb.Item{Value: it.Value, Version: []byte(it.Version)}
}
