package advertise_test

import (
	"fmt"
	"net/netip"

	"github.com/holdfast/holdfast/host/advertise"
)

func ExampleAPI() {
	interfaces := []advertise.Interface{
		{Name: "docker0", Up: true, Addrs: []netip.Addr{netip.MustParseAddr("172.17.0.1")}},
		{Name: "eth0", Up: true, DefaultRoute4: true, Addrs: []netip.Addr{netip.MustParseAddr("10.0.0.5")}},
	}
	api, err := advertise.API("", []advertise.Listener{{Address: "0.0.0.0:8200", TLS: true}}, interfaces)
	if err != nil {
		fmt.Println(err)
		return
	}
	cluster, err := advertise.Cluster("", api)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%s (%s)\n%s\n", api.URL, api.Origin, cluster.URL)
	// Output:
	// https://10.0.0.5:8200 (first private address, on eth0)
	// https://10.0.0.5:8201
}
