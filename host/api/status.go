package api

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// The endpoints here answer from Node.Status alone, so they answer while the store
// hangs and whoever is active.

// isRead reports whether r only asks.
func isRead(r *http.Request) bool { return r.Method == http.MethodGet || r.Method == http.MethodHead }

// isWrite reports whether r is one of the two methods that clients write with.
func isWrite(r *http.Request) bool { return r.Method == http.MethodPut || r.Method == http.MethodPost }

func methodNotAllowed() *Response {
	return failed(http.StatusMethodNotAllowed, "unsupported operation")
}

func (s *server) sealStatus(_ context.Context, r *http.Request) *Response {
	if !isRead(r) {
		return methodNotAllowed()
	}
	return plain(sealStatusOf(s.cfg.Node.Status()))
}

func sealStatusOf(status Status) any {
	return struct {
		Type         string `json:"type"`
		Initialized  bool   `json:"initialized"`
		Sealed       bool   `json:"sealed"`
		Threshold    int    `json:"t"`
		Shares       int    `json:"n"`
		Progress     int    `json:"progress"`
		Nonce        string `json:"nonce"`
		Version      string `json:"version"`
		BuildDate    string `json:"build_date"`
		Migration    bool   `json:"migration"`
		ClusterName  string `json:"cluster_name,omitempty"`
		ClusterID    string `json:"cluster_id,omitempty"`
		RecoverySeal bool   `json:"recovery_seal"`
		StorageType  string `json:"storage_type,omitempty"`
	}{
		Type: "shamir", Initialized: status.Initialized, Sealed: status.Sealed,
		Threshold: status.Threshold, Shares: status.Shares, Progress: status.Progress, Nonce: status.Nonce,
		Version: status.Version, ClusterName: status.ClusterName, ClusterID: status.ClusterID,
		StorageType: status.StorageType,
	}
}

func (s *server) leader(_ context.Context, r *http.Request) *Response {
	if !isRead(r) {
		return methodNotAllowed()
	}
	status := s.cfg.Node.Status()
	if status.Sealed {
		return sealed()
	}
	self := status.Role == RoleActive || status.Role == RoleSuspended
	return plain(struct {
		HA             bool      `json:"ha_enabled"`
		Self           bool      `json:"is_self"`
		ActiveTime     time.Time `json:"active_time"`
		Leader         string    `json:"leader_address"`
		LeaderCluster  string    `json:"leader_cluster_address"`
		PerfStandby    bool      `json:"performance_standby"`
		PerfStandbyWAL int       `json:"performance_standby_last_remote_wal"`
		recent
	}{
		HA: status.HA, Self: self, ActiveTime: status.ActiveSince,
		Leader: status.LeaderAPIAddr, LeaderCluster: status.LeaderCluster,
		recent: recentOf(status),
	})
}

func (s *server) health(_ context.Context, r *http.Request) *Response {
	if !isRead(r) {
		return methodNotAllowed()
	}
	codes, refusal := parseHealthCodes(r.URL.Query())
	if refusal != nil {
		return refusal
	}
	status := s.cfg.Node.Status()
	standby := status.Role != RoleActive && status.Role != RoleSuspended
	resp := plain(struct {
		Initialized         bool   `json:"initialized"`
		Sealed              bool   `json:"sealed"`
		Standby             bool   `json:"standby"`
		PerformanceStandby  bool   `json:"performance_standby"`
		ReplicationPerfMode string `json:"replication_performance_mode"`
		ReplicationDRMode   string `json:"replication_dr_mode"`
		ServerTimeUTC       int64  `json:"server_time_utc"`
		Version             string `json:"version"`
		Enterprise          bool   `json:"enterprise"`
		ClusterName         string `json:"cluster_name,omitempty"`
		ClusterID           string `json:"cluster_id,omitempty"`
		EchoDurationMillis  int64  `json:"echo_duration_ms"`
		ClockSkewMillis     int64  `json:"clock_skew_ms"`
		CanaryAgeMillis     int64  `json:"replication_primary_canary_age_ms"`
		recent
	}{
		Initialized: status.Initialized, Sealed: status.Sealed, Standby: standby,
		ReplicationPerfMode: "disabled", ReplicationDRMode: "disabled",
		ServerTimeUTC: time.Now().Unix(), Version: status.Version,
		ClusterName: status.ClusterName, ClusterID: status.ClusterID,
		recent: recentOf(status),
	})
	resp.Status = codes.of(status, standby)
	return resp
}

// healthCodes are the HTTP codes a client wants for the states a node can be in.
type healthCodes struct {
	active, standby, sealed, uninitialized int
}

func (c healthCodes) of(status Status, standby bool) int {
	switch {
	case !status.Initialized:
		return c.uninitialized
	case status.Sealed:
		return c.sealed
	case standby:
		return c.standby
	default:
		return c.active
	}
}

func parseHealthCodes(query url.Values) (healthCodes, *Response) {
	codes := healthCodes{
		active: http.StatusOK, standby: http.StatusTooManyRequests,
		sealed: http.StatusServiceUnavailable, uninitialized: http.StatusNotImplemented,
	}
	unused := 0 // of states that a Holdfast node is never in
	for name, code := range map[string]*int{
		"activecode": &codes.active, "standbycode": &codes.standby,
		"sealedcode": &codes.sealed, "uninitcode": &codes.uninitialized,
		"drsecondarycode": &unused, "performancestandbycode": &unused, "removedcode": &unused, "haunhealthycode": &unused,
	} {
		if !query.Has(name) {
			continue
		}
		n, err := strconv.Atoi(query.Get(name))
		if err != nil || n < 200 || n > 599 {
			return healthCodes{}, failed(http.StatusBadRequest, name+": want an HTTP status code, 200 to 599")
		}
		*code = n
	}
	for _, name := range []string{"standbyok", "perfstandbyok"} {
		if !query.Has(name) {
			continue
		}
		// The bare name means yes.
		ok, err := strconv.ParseBool(query.Get(name))
		if err != nil && query.Get(name) != "" {
			return healthCodes{}, failed(http.StatusBadRequest, name+": want true or false")
		}
		if name == "standbyok" && (ok || err != nil) {
			codes.standby = codes.active
		}
	}
	return codes, nil
}
