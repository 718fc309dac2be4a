package server

import (
	"errors"

	"github.com/holdfast/holdfast/host/advertise"
	"github.com/holdfast/holdfast/host/config"
)

// findAddresses decides what this node advertises. Without high availability nobody
// needs to find it, so it may do without.
func findAddresses(cfg *config.Config, needed bool) (addresses, error) {
	interfaces, err := advertise.Interfaces()
	if err != nil {
		return addresses{}, err
	}
	listeners := make([]advertise.Listener, len(cfg.Listeners))
	for i, l := range cfg.Listeners {
		listeners[i] = advertise.Listener{Address: l.Address, ClusterAddress: l.ClusterAddress, TLS: !l.TLS.Disable}
	}
	var found addresses
	found.api, err = advertise.API(cfg.APIAddr, listeners, interfaces)
	if errors.Is(err, advertise.ErrNoAddress) && !needed {
		return addresses{}, nil
	}
	if err != nil {
		return addresses{}, err
	}
	if !needed {
		return found, nil
	}
	if found.cluster, err = advertise.Cluster(cfg.ClusterAddr, found.api); err != nil {
		return addresses{}, err
	}
	found.clusterBind, err = advertise.ClusterBind(listeners[0])
	return found, err
}
