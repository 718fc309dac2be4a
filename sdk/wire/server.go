package wire

import (
	"context"
	"crypto/rand"
	"errors"
	"sync"

	"google.golang.org/grpc"

	pb "github.com/holdfast/holdfast/sdk/proto/holdfast/storage/v1"
	"github.com/holdfast/holdfast/sdk/storage"
)

// Implementation is what a Server serves.
type Implementation struct {
	// Description is the answer to Describe. HA decides whether the HABackend
	// service is offered; Services is filled in by Register.
	Description Description
	// Open opens a backend with a storage stanza, a JSON object. It returns
	// ErrInvalidConfig for a stanza it refuses. With Description.HA the backend is a
	// storage.HABackend. ctx bounds Open only, not the life of the backend.
	Open func(ctx context.Context, configJSON []byte) (storage.Backend, storage.Capabilities, error)
	// WatchesHost: the process will notice the death of its host and then call
	// Server.CommitWills. Otherwise no last will is taken.
	WatchesHost bool
}

// Services returns the names of the gRPC services of a plugin with or without high
// availability.
func Services(ha bool) []string {
	services := []string{pb.Plugin_ServiceDesc.ServiceName, pb.Backend_ServiceDesc.ServiceName}
	if ha {
		services = append(services, pb.HABackend_ServiceDesc.ServiceName, pb.LastWill_ServiceDesc.ServiceName)
	}
	return services
}

// Server is the plugin's end. It hands a call to a backend only within the limits the
// backend declared, and closes a backend only when no call is inside it. It is safe for
// concurrent use.
type Server struct {
	impl Implementation

	mu       sync.Mutex // guards the fields below
	backends map[string]*openBackend
	closed   bool // no backend is added any more
}

// Register offers impl on s and returns the Server, whose Close frees what is open.
func Register(s grpc.ServiceRegistrar, impl Implementation) *Server {
	impl.Description.Services = Services(impl.Description.HA)
	server := &Server{impl: impl, backends: make(map[string]*openBackend)}
	pb.RegisterPluginServer(s, pluginService{server: server})
	pb.RegisterBackendServer(s, backendService{server: server})
	if impl.Description.HA {
		pb.RegisterHABackendServer(s, haService{server: server})
		pb.RegisterLastWillServer(s, willService{server: server})
	}
	return server
}

// Close ends the calls in progress, waits for them and closes every backend. Later
// calls get ErrUnconfigured.
func (s *Server) Close() error {
	s.mu.Lock()
	s.closed = true
	backends := s.backends
	s.backends = nil
	s.mu.Unlock()

	var errs []error
	for _, b := range backends {
		errs = append(errs, b.close())
	}
	return errors.Join(errs...)
}

// add gives b an id. It refuses when the Server is closed.
func (s *Server) add(b *openBackend) (id string, err error) {
	id = rand.Text()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return "", errShutdown
	}
	s.backends[id] = b
	return id, nil
}

// remove takes the backend out; nil if there is none of that id.
func (s *Server) remove(id string) *openBackend {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.backends[id]
	delete(s.backends, id)
	return b
}

// call runs f on the backend with the given id and maps its error to a status.
func (s *Server) call(ctx context.Context, id string, f func(context.Context, *openBackend) error) error {
	s.mu.Lock()
	b := s.backends[id]
	s.mu.Unlock()
	if b == nil {
		return toStatus(ErrUnconfigured)
	}
	ctx, leave, err := b.enter(ctx)
	if err != nil {
		return toStatus(err)
	}
	defer leave()
	return toStatus(f(ctx, b))
}
