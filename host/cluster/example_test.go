package cluster_test

import (
	"context"
	"fmt"

	"github.com/hashicorp/go-hclog"

	"github.com/holdfast/holdfast/host/cluster"
	pb "github.com/holdfast/holdfast/host/cluster/proto/holdfast/cluster/v1alpha"
)

// What a caller does with the three outcomes of a forwarded request.
func ExampleDialer_Forward() {
	ca, err := cluster.NewCA()
	if err != nil {
		fmt.Println(err)
		return
	}
	cert, err := ca.Issue("standby")
	if err != nil {
		fmt.Println(err)
		return
	}
	dialer, err := cluster.NewDialer(cluster.DialerConfig{CA: ca, Certificate: cert, Log: hclog.NewNullLogger()})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = dialer.Close() }()

	active := cluster.Target{Addr: "127.0.0.1:1", InstanceID: "active"} // nobody listens there
	resp, sent, err := dialer.Forward(context.Background(), active, &pb.ForwardRequest{Epoch: 7, Method: "GET", Path: "/v1/sys/mounts"})
	switch {
	case err == nil && !resp.GetRefused():
		fmt.Println("answered with status", resp.GetStatus())
	case err == nil, !sent:
		fmt.Println("has not run: send it to the next active node")
	default:
		fmt.Println("outcome unknown: only a read may be sent again")
	}
	// Output: has not run: send it to the next active node
}
