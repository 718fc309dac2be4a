package advertise

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
)

func TestFindDefaultRoute4(t *testing.T) {
	const heading = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"
	for _, tt := range []struct{ name, table, want string }{
		{"one", "eth0\t00000000\t0100A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0\neth0\t0000A8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n", "eth0"},
		{"lowest metric", "wlan0\t00000000\t0100A8C0\t0003\t0\t0\t600\t00000000\t0\t0\t0\neth0\t00000000\t0100A8C0\t0003\t0\t0\t99\t00000000\t0\t0\t0\n", "eth0"},
		{"not up", "eth0\t00000000\t0100A8C0\t0002\t0\t0\t0\t00000000\t0\t0\t0\n", ""},
		{"half of all addresses", "tun0\t00000000\t0100A8C0\t0003\t0\t0\t0\t00000080\t0\t0\t0\n", ""},
		{"none", "", ""},
		{"garbage", "x y\n\neth0 00000000 0 zz 0 0 0 00000000\n", ""},
	} {
		if got, err := findDefault(strings.NewReader(heading+tt.table), parseRoute4); err != nil || got != tt.want {
			t.Errorf("%s: default route by %q, %v, want %q", tt.name, got, err, tt.want)
		}
	}
}

func TestFindDefaultRoute6(t *testing.T) {
	const (
		zero   = "00000000000000000000000000000000"
		reject = zero + " 00 " + zero + " 00 " + zero + " ffffffff 00000001 00000000 00200200 lo\n"
		eth0   = zero + " 00 " + zero + " 00 fe800000000000000000000000000001 00000400 00000001 00000000 00000003 eth0\n"
		eth1   = zero + " 00 " + zero + " 00 fe800000000000000000000000000001 00000100 00000001 00000000 00000003 eth1\n"
		local  = "fd000000000000000000000000000000 40 " + zero + " 00 " + zero + " 00000001 00000001 00000000 00000001 eth2\n"
	)
	for _, tt := range []struct{ name, table, want string }{
		{"one", local + eth0 + reject, "eth0"},
		{"lowest metric", eth0 + eth1, "eth1"},
		{"unreachable only", local + reject, ""},
		{"none", "", ""},
	} {
		if got, err := findDefault(strings.NewReader(tt.table), parseRoute6); err != nil || got != tt.want {
			t.Errorf("%s: default route by %q, %v, want %q", tt.name, got, err, tt.want)
		}
	}
}

func TestInterfacesOfThisMachine(t *testing.T) {
	found, err := Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	hasLoopback := slices.ContainsFunc(found, func(i Interface) bool {
		return i.Up && slices.ContainsFunc(i.Addrs, netip.Addr.IsLoopback)
	})
	if !hasLoopback {
		t.Errorf("no loopback address among %+v", found)
	}
}
