package wire

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	pb "github.com/holdfast/holdfast/sdk/proto/holdfast/storage/v1"
	"github.com/holdfast/holdfast/sdk/storage"
)

// Client is the host's end of a connection to a plugin. It is safe for concurrent use.
// It never retries and does not own the connection.
type Client struct {
	name    string
	plugin  pb.PluginClient
	backend pb.BackendClient
	ha      pb.HABackendClient
	will    pb.LastWillClient
}

// NewClient returns a Client on conn, which should be dialled with [DialOptions].
// Errors call the plugin by name.
func NewClient(conn grpc.ClientConnInterface, name string) *Client {
	return &Client{
		name:    name,
		plugin:  pb.NewPluginClient(conn),
		backend: pb.NewBackendClient(conn),
		ha:      pb.NewHABackendClient(conn),
		will:    pb.NewLastWillClient(conn),
	}
}

// Describe asks the plugin what it is. It works before Configure.
func (c *Client) Describe(ctx context.Context) (Description, error) {
	resp, err := invoke(ctx, c, "describe", c.plugin.Describe, &pb.DescribeRequest{})
	if err != nil {
		return Description{}, err
	}
	d := Description{
		Name:     resp.GetName(),
		Version:  resp.GetVersion(),
		SDK:      resp.GetSdk(),
		Services: resp.GetServices(),
		HA:       slices.Contains(resp.GetServices(), pb.HABackend_ServiceDesc.ServiceName),
		LastWill: slices.Contains(resp.GetServices(), pb.LastWill_ServiceDesc.ServiceName),
	}
	for _, o := range resp.GetOptions() {
		d.Options = append(d.Options, Option{
			Name:        o.GetName(),
			Type:        o.GetType(),
			Default:     o.GetDefaultValue(),
			Description: o.GetDescription(),
			Required:    o.GetRequired(),
			Secret:      o.GetSecret(),
		})
	}
	return d, nil
}

// Ping returns nil while the plugin is able to serve calls.
func (c *Client) Ping(ctx context.Context) error {
	_, err := invoke(ctx, c, "ping", c.plugin.Ping, &pb.PingRequest{})
	return err
}

// Configure opens a backend in the plugin. configJSON is the storage stanza: a JSON
// object of option names to strings, bools, numbers or lists of strings. A stanza the
// plugin refuses gives ErrInvalidConfig; limits too small or too large for the
// host give ErrBroken, and the backend is closed again.
func (c *Client) Configure(ctx context.Context, configJSON []byte) (*Backend, error) {
	// Asked on every Configure, because another binary may have taken its place.
	described, err := c.Describe(ctx)
	if err != nil {
		return nil, err
	}
	resp, err := invoke(ctx, c, "configure", c.plugin.Configure, &pb.ConfigureRequest{ConfigJson: string(configJSON)})
	if err != nil {
		return nil, err
	}
	b := &Backend{client: c, id: resp.GetBackendId(), ha: described.HA}
	b.capabilities, err = capabilitiesOf(resp)
	if err != nil {
		return nil, errors.Join(c.broken("configure", err.Error()), b.Close())
	}
	return b, nil
}

// capabilitiesOf checks that the host can work with what a plugin declares.
func capabilitiesOf(resp *pb.ConfigureResponse) (storage.Capabilities, error) {
	if resp.GetBackendId() == "" {
		return storage.Capabilities{}, errors.New("it returned no backend id")
	}
	l := resp.GetLimits()
	limits := storage.Limits{
		MaxKeyBytes:   clampInt(l.GetMaxKeyBytes()),
		MaxValueBytes: clampInt(l.GetMaxValueBytes()),
		MaxOps:        clampInt(l.GetMaxOps()),
		MaxBatchBytes: clampInt(l.GetMaxBatchBytes()),
	}
	if err := errors.Join(limits.Validate(), checkFits(limits)); err != nil {
		return storage.Capabilities{}, err
	}
	return storage.Capabilities{Limits: limits, HADisabled: resp.GetHaDisabled()}, nil
}

// checkFits reports a limit over MaxLimits: a batch within it could not be sent.
func checkFits(l storage.Limits) error {
	most := MaxLimits()
	switch {
	case l.MaxKeyBytes > most.MaxKeyBytes:
		return fmt.Errorf("limits: MaxKeyBytes is %d, the host takes at most %d", l.MaxKeyBytes, most.MaxKeyBytes)
	case l.MaxValueBytes > most.MaxValueBytes:
		return fmt.Errorf("limits: MaxValueBytes is %d, the host takes at most %d", l.MaxValueBytes, most.MaxValueBytes)
	case l.MaxOps > most.MaxOps:
		return fmt.Errorf("limits: MaxOps is %d, the host takes at most %d", l.MaxOps, most.MaxOps)
	case l.MaxBatchBytes > most.MaxBatchBytes:
		return fmt.Errorf("limits: MaxBatchBytes is %d, the host takes at most %d", l.MaxBatchBytes, most.MaxBatchBytes)
	}
	return nil
}

func clampInt(n int64) int { return int(min(max(n, 0), math.MaxInt32)) }

// broken is the error of an answer that breaks the contract.
func (c *Client) broken(call, why string) error {
	return &callError{
		plugin:  c.name,
		call:    call,
		message: ErrBroken.Error() + ": " + why,
		cause:   errors.Join(ErrBroken, storage.ErrUnavailable),
	}
}

// invoke makes one call. A request over MaxMessageBytes is not sent.
func invoke[Req, Resp proto.Message](
	ctx context.Context, c *Client, call string,
	rpc func(context.Context, Req, ...grpc.CallOption) (Resp, error), req Req, opts ...grpc.CallOption,
) (Resp, error) {
	var none Resp
	if size := proto.Size(req); size > MaxMessageBytes {
		tooLarge := &storage.TooLargeError{What: "message", Unit: "bytes", Size: size, Limit: MaxMessageBytes}
		return none, &callError{plugin: c.name, call: call, message: tooLarge.Error(), cause: tooLarge}
	}
	resp, err := rpc(ctx, req, opts...)
	if err == nil {
		return resp, nil
	}
	if call == "configure" && status.Code(err) == codes.InvalidArgument {
		return none, &callError{plugin: c.name, call: call, message: status.Convert(err).Message(), cause: ErrInvalidConfig}
	}
	return none, fromStatus(ctx, c.name, call, err)
}
