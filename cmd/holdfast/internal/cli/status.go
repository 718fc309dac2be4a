package cli

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/hashicorp/vault/api"
)

// status tells whether a node is sealed and what part it plays.
type status struct{ noFlags }

func (*status) describe() description {
	return description{
		usage:    "[flags]",
		synopsis: "Show whether a node is sealed, and its role",
		details:  "Exit code: 0 unsealed, 2 sealed, 1 error.",
		example:  "holdfast status -address=http://127.0.0.1:8200",
	}
}

func (*status) run(ctx context.Context, s *session, _ []string) error {
	client, err := s.anonymous()
	if err != nil {
		return err
	}
	seal, err := client.Sys().SealStatusWithContext(ctx)
	if err != nil {
		return statusError("read the seal status", err)
	}
	leader, err := client.Sys().LeaderWithContext(ctx)
	if response, ok := errors.AsType[*api.ResponseError](err); ok && seal.Sealed && response.StatusCode == http.StatusServiceUnavailable {
		// A sealed node of a cluster knows no leader and says so this way.
		leader, err = &api.LeaderResponse{HAEnabled: true}, nil
	}
	if err != nil {
		return statusError("read the active node", err)
	}
	if err := s.showStatus(seal, leader); err != nil {
		return err
	}
	if seal.Sealed {
		return exitError{code: 2}
	}
	return nil
}

// statusError keeps exit code 2 for sealed.
func statusError(doing string, err error) error {
	return exitError{code: exitLocal, message: fmt.Sprintf("Error: %v", remote(doing, err))}
}

func (s *session) showStatus(seal *api.SealStatusResponse, leader *api.LeaderResponse) error {
	if !s.out.json() {
		s.out.table([]string{"Key", "Value"}, append(sealRows(seal), leaderRows(seal, leader)...))
		return nil
	}
	report := struct {
		*api.SealStatusResponse
		HAEnabled            bool   `json:"ha_enabled"`
		IsSelf               bool   `json:"is_self"`
		ActiveTime           string `json:"active_time,omitempty"`
		LeaderAddress        string `json:"leader_address,omitempty"`
		LeaderClusterAddress string `json:"leader_cluster_address,omitempty"`
	}{
		SealStatusResponse:   seal,
		HAEnabled:            leader.HAEnabled,
		IsSelf:               leader.IsSelf,
		LeaderAddress:        leader.LeaderAddress,
		LeaderClusterAddress: leader.LeaderClusterAddress,
	}
	if !leader.ActiveTime.IsZero() {
		report.ActiveTime = leader.ActiveTime.Format(time.RFC3339Nano)
	}
	return s.out.value(report)
}

// sealRows are the rows of a seal status, the answer to unseal among them.
func sealRows(seal *api.SealStatusResponse) [][]string {
	rows := [][]string{
		{"Seal Type", display(seal.Type)},
		{"Initialized", strconv.FormatBool(seal.Initialized)},
		{"Sealed", strconv.FormatBool(seal.Sealed)},
		{"Total Shares", strconv.Itoa(seal.N)},
		{"Threshold", strconv.Itoa(seal.T)},
	}
	if seal.Sealed {
		rows = append(rows,
			[]string{"Unseal Progress", fmt.Sprintf("%d/%d", seal.Progress, seal.T)},
			[]string{"Unseal Nonce", display(seal.Nonce)})
	}
	rows = append(rows, []string{"Version", display(seal.Version)})
	for _, optional := range [][]string{
		{"Build Date", seal.BuildDate},
		{"Storage Type", seal.StorageType},
		{"Cluster Name", seal.ClusterName},
		{"Cluster ID", seal.ClusterID},
	} {
		if optional[1] != "" {
			rows = append(rows, optional)
		}
	}
	return rows
}

func leaderRows(seal *api.SealStatusResponse, leader *api.LeaderResponse) [][]string {
	rows := [][]string{{"HA Enabled", strconv.FormatBool(leader.HAEnabled)}}
	if !leader.HAEnabled {
		return rows
	}
	rows = append(rows, []string{"HA Cluster", display(leader.LeaderClusterAddress)})
	switch {
	case seal.Sealed:
		return append(rows, []string{"HA Mode", "sealed"})
	case leader.IsSelf:
		rows = append(rows, []string{"HA Mode", "active"})
		if !leader.ActiveTime.IsZero() {
			rows = append(rows, []string{"Active Since", leader.ActiveTime.Format(time.RFC3339Nano)})
		}
		return rows
	}
	active := leader.LeaderAddress
	if active == "" {
		active = "<none>"
	}
	return append(rows, []string{"HA Mode", "standby"}, []string{"Active Node Address", active})
}
