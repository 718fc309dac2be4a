package wire

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/holdfast/holdfast/sdk/proto/holdfast/storage/v1"
	"github.com/holdfast/holdfast/sdk/storage"
)

func TestClientRefusesBeforeItSends(t *testing.T) {
	b := openFake(t, &fakeBackend{}) // every call that arrives panics there
	big := make([]byte, smallLimits.MaxValueBytes+1)
	long := storage.Version(strings.Repeat("v", storage.MaxVersionBytes+1))
	tests := map[string]struct {
		call func() error
		want error
	}{
		"get":            {func() error { _, err := b.Get(t.Context(), "/a"); return err }, storage.ErrInvalidKey},
		"get long key":   {func() error { _, err := b.Get(t.Context(), strings.Repeat("k", 600)); return err }, storage.ErrTooLarge},
		"list":           {func() error { _, err := b.List(t.Context(), "a", "", 0); return err }, storage.ErrInvalidKey},
		"write":          {func() error { return b.Write(t.Context(), []storage.Op{storage.Put("k", big)}) }, storage.ErrTooLarge},
		"write twice":    {func() error { return b.Write(t.Context(), []storage.Op{storage.Delete("k"), storage.Delete("k")}) }, storage.ErrUnsupported},
		"commit":         {func() error { _, err := b.Commit(t.Context(), storage.Guard{Key: "g", Value: big}, nil); return err }, storage.ErrTooLarge},
		"commit prev":    {func() error { _, err := b.Commit(t.Context(), storage.Guard{Key: "g", Prev: big}, nil); return err }, storage.ErrTooLarge},
		"commit version": {func() error { _, err := b.Commit(t.Context(), storage.Guard{Key: "g", Version: long}, nil); return err }, storage.ErrTooLarge},
		"watch":          {func() error { _, err := b.Watch(t.Context(), "", ""); return err }, storage.ErrInvalidKey},
		"watch version":  {func() error { _, err := b.Watch(t.Context(), "k", long); return err }, storage.ErrTooLarge},
		"commit many ops": {func() error {
			_, err := b.Commit(t.Context(), storage.Guard{Key: "g"}, make([]storage.Op, 17))
			return err
		}, storage.ErrTooLarge},
	}
	for name, test := range tests {
		if err := test.call(); !errors.Is(err, test.want) || errors.Is(err, storage.ErrUnavailable) {
			t.Errorf("%s: got %v, want %v", name, err, test.want)
		}
	}
}

func TestAnswersThatBreakTheContract(t *testing.T) {
	long := storage.Version(strings.Repeat("v", storage.MaxVersionBytes+1))
	item := func(v storage.Version) func(context.Context, string, storage.Version) (storage.Item, error) {
		return func(context.Context, string, storage.Version) (storage.Item, error) {
			return storage.Item{Version: v}, nil
		}
	}
	version := func(v storage.Version) func(context.Context, storage.Guard, []storage.Op) (storage.Version, error) {
		return func(context.Context, storage.Guard, []storage.Op) (storage.Version, error) { return v, nil }
	}
	names := func(names ...string) func(context.Context, string, string, int) ([]string, error) {
		return func(context.Context, string, string, int) ([]string, error) { return names, nil }
	}
	get := func(v storage.Version) func(context.Context, string) (storage.Item, error) {
		return func(context.Context, string) (storage.Item, error) { return storage.Item{Version: v}, nil }
	}
	commit := func(b *Backend) error {
		_, err := b.Commit(t.Context(), storage.Guard{Key: "g", Version: "1"}, nil)
		return err
	}
	list := func(b *Backend) error { _, err := b.List(t.Context(), "", "a", 2); return err }
	watch := func(b *Backend) error { _, err := b.Watch(t.Context(), "k", "1"); return err }
	read := func(b *Backend) error { _, err := b.Get(t.Context(), "k"); return err }
	tests := map[string]struct {
		fake *fakeBackend
		call func(*Backend) error
	}{
		"commit without a version": {&fakeBackend{commit: version("")}, commit},
		"commit with the old one":  {&fakeBackend{commit: version("1")}, commit},
		"commit with a long one":   {&fakeBackend{commit: version(long)}, commit},
		"get without a version":    {&fakeBackend{get: get("")}, read},
		"get with a long one":      {&fakeBackend{get: get(long)}, read},
		"watch of what was seen":   {&fakeBackend{watch: item("1")}, watch},
		"watch without a version":  {&fakeBackend{watch: item("")}, watch},
		"list out of order":        {&fakeBackend{list: names("c", "b")}, list},
		"list with a name twice":   {&fakeBackend{list: names("b", "b")}, list},
		"list before the place":    {&fakeBackend{list: names("a", "b")}, list},
		"list with too many names": {&fakeBackend{list: names("b", "c", "d")}, list},
		"list with an empty name":  {&fakeBackend{list: names("", "b")}, list},
	}
	for name, test := range tests {
		err := test.call(openFake(t, test.fake))
		if !errors.Is(err, ErrBroken) || !errors.Is(err, storage.ErrUnavailable) || storage.OutcomeOf(err) != storage.Unknown {
			t.Errorf("%s: got %v (%v), want ErrBroken, outcome unknown", name, err, storage.OutcomeOf(err))
		}
	}
}

func TestLimitsTheHostCanNotWorkWith(t *testing.T) {
	for name, change := range map[string]func(*storage.Limits){
		"none":      func(l *storage.Limits) { *l = storage.Limits{} },
		"few ops":   func(l *storage.Limits) { l.MaxOps = storage.MinOps - 1 },
		"negative":  func(l *storage.Limits) { l.MaxOps = -1 },
		"long keys": func(l *storage.Limits) { l.MaxKeyBytes = storage.MaxKeyBytes + 1 },
		"values":    func(l *storage.Limits) { l.MaxValueBytes, l.MaxBatchBytes = 3<<20, 4<<20 },
		"batch":     func(l *storage.Limits) { l.MaxBatchBytes = MaxMessageBytes },
		"ops":       func(l *storage.Limits) { l.MaxOps = 1 << 40 },
	} {
		closed := make(chan struct{})
		limits := smallLimits
		change(&limits)
		client, _ := serveFake(t, &fakeBackend{close: func() error { close(closed); return nil }}, limits)
		if _, err := client.Configure(t.Context(), nil); !errors.Is(err, ErrBroken) || !strings.Contains(err.Error(), "limits: ") {
			t.Errorf("%s: got %v, want ErrBroken that names the limit", name, err)
		}
		<-closed
	}
}

// foreign is a plugin in another language: it registers what it likes and sends
// statuses without details.
type foreign struct {
	pb.UnimplementedPluginServer
	pb.UnimplementedBackendServer

	services  []string
	configure error
}

func (f foreign) Describe(context.Context, *pb.DescribeRequest) (*pb.DescribeResponse, error) {
	return &pb.DescribeResponse{Name: "foreign", Services: f.services}, nil
}

func (f foreign) Configure(context.Context, *pb.ConfigureRequest) (*pb.ConfigureResponse, error) {
	return &pb.ConfigureResponse{BackendId: "1", Limits: &pb.Limits{
		MaxKeyBytes: 1024, MaxValueBytes: 1 << 20, MaxOps: 64, MaxBatchBytes: 1 << 20,
	}}, f.configure
}

func (f foreign) Get(context.Context, *pb.GetRequest) (*pb.GetResponse, error) {
	return &pb.GetResponse{}, nil // no item
}

func (f foreign) List(context.Context, *pb.ListRequest) (*pb.ListResponse, error) {
	name := strings.Repeat("n", 1000)
	var names []string
	for i := range 10_000 {
		names = append(names, name+string(rune('\u4e00'+i)))
	}
	return &pb.ListResponse{Names: names}, nil
}

func openForeign(t *testing.T, f foreign) (*Backend, error) {
	t.Helper()
	conn := dial(t, func(s *grpc.Server) {
		pb.RegisterPluginServer(s, f)
		pb.RegisterBackendServer(s, f)
	})
	return NewClient(conn, "foreign").Configure(t.Context(), []byte("{}"))
}

func TestPluginWithoutHA(t *testing.T) {
	b, err := openForeign(t, foreign{services: Services(false)})
	if err != nil {
		t.Fatalf("configure: %v", err)
	}
	_, commitErr := b.Commit(t.Context(), storage.Guard{Key: "g"}, nil)
	_, watchErr := b.Watch(t.Context(), "g", "")
	for _, err := range []error{commitErr, watchErr} {
		if !errors.Is(err, storage.ErrUnsupported) || storage.OutcomeOf(err) != storage.Unapplied {
			t.Errorf("got %v (%v), want ErrUnsupported, not applied", err, storage.OutcomeOf(err))
		}
	}
	if b.HA() {
		t.Error("HA() is true")
	}
	if _, err := b.Get(t.Context(), "k"); !errors.Is(err, ErrBroken) {
		t.Errorf("answer without an item: got %v, want ErrBroken", err)
	}
	if names, err := b.List(t.Context(), "", "", 0); err != nil || len(names) != 10_000 {
		t.Errorf("list over %d bytes: got %d names, %v, want all", MaxMessageBytes, len(names), err)
	}
}

func TestRefusedConfigurationIsToldApart(t *testing.T) {
	_, err := openForeign(t, foreign{configure: status.Error(codes.InvalidArgument, "no address")})
	if want := "storage plugin foreign: configure: no address"; !errors.Is(err, ErrInvalidConfig) || err.Error() != want {
		t.Errorf("got %v, want ErrInvalidConfig: %s", err, want)
	}
	_, err = openForeign(t, foreign{configure: status.Error(codes.Unknown, "no route")})
	if errors.Is(err, ErrInvalidConfig) || !errors.Is(err, storage.ErrUnavailable) {
		t.Errorf("got %v, want ErrUnavailable only", err)
	}
	b, err := openForeign(t, foreign{})
	if err != nil {
		t.Fatalf("configure: %v", err)
	}
	_, err = b.client.Configure(t.Context(), slices.Repeat([]byte(" "), MaxMessageBytes))
	if !errors.Is(err, storage.ErrTooLarge) {
		t.Errorf("huge stanza: got %v, want ErrTooLarge", err)
	}
}

func TestContextEndsACallThatHangs(t *testing.T) {
	b := openFake(t, &fakeBackend{write: func(ctx context.Context, _ []storage.Op) error {
		<-ctx.Done()
		return ctx.Err()
	}})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	err := b.Write(ctx, []storage.Op{storage.Put("k", nil)})
	if !errors.Is(err, context.DeadlineExceeded) || storage.OutcomeOf(err) != storage.Unknown {
		t.Errorf("got %v (%v), want context.DeadlineExceeded, outcome unknown", err, storage.OutcomeOf(err))
	}
}

func TestConnectionLostIsUnavailableAndUnknown(t *testing.T) {
	entered := make(chan struct{})
	fake := &fakeBackend{write: func(ctx context.Context, _ []storage.Op) error {
		close(entered)
		<-ctx.Done()
		return nil
	}}
	var stop func()
	conn := dial(t, func(s *grpc.Server) {
		stop = s.Stop
		Register(s, Implementation{
			Description: Description{HA: true},
			Open: func(context.Context, []byte) (storage.Backend, storage.Capabilities, error) {
				return fake, storage.Capabilities{Limits: smallLimits}, nil
			},
		})
	})
	b, err := NewClient(conn, "fake").Configure(t.Context(), nil)
	if err != nil {
		t.Fatalf("configure: %v", err)
	}
	wrote := make(chan error, 1)
	go func() { wrote <- b.Write(t.Context(), []storage.Op{storage.Put("k", nil)}) }()
	<-entered
	stop()
	if err := <-wrote; !errors.Is(err, storage.ErrUnavailable) || storage.OutcomeOf(err) != storage.Unknown {
		t.Errorf("got %v (%v), want ErrUnavailable, outcome unknown", err, storage.OutcomeOf(err))
	}
}
