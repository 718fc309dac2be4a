package cli

import (
	"context"
	"strconv"
	"time"
)

const pluginPath = "sys/plugins/storage"

// pluginStatus shows the storage plugin of one node.
type pluginStatus struct{ noFlags }

func (*pluginStatus) describe() description {
	return description{
		usage:    "[flags]",
		synopsis: "Show the storage plugin that a node runs",
		details:  "Each node has a process of its own: -address says which node is asked. It must be unsealed.",
		example:  "holdfast plugin status -address=https://node2:8200",
	}
}

func (*pluginStatus) run(ctx context.Context, s *session, _ []string) error {
	client, err := s.client()
	if err != nil {
		return err
	}
	var plugin storagePlugin
	if err := readInto(ctx, client, pluginPath, &plugin); err != nil {
		return remote("look at the storage plugin", err)
	}
	return s.showPlugin(plugin)
}

// pluginReload replaces the storage plugin of one node.
type pluginReload struct{ noFlags }

func (*pluginReload) describe() description {
	return description{
		usage:    "[flags]",
		synopsis: "Replace the storage plugin that a node runs by the program that is in its place now",
		details: "Each node has a process of its own: -address says which node is meant; take the standbys first. The new\n" +
			"process is started and checked before it takes over, and no request fails. A program that will not do is\n" +
			"refused, and the old process goes on.",
		example: "holdfast plugin reload -address=https://node2:8200",
	}
}

func (*pluginReload) run(ctx context.Context, s *session, _ []string) error {
	client, err := s.client()
	if err != nil {
		return err
	}
	answer, err := client.Logical().WriteWithContext(ctx, pluginPath+"/reload", nil)
	if err != nil {
		return remote("reload the storage plugin", err)
	}
	var plugin storagePlugin
	if err := decodeInto(answer, &plugin); err != nil {
		return remote("reload the storage plugin", err)
	}
	s.out.say("Success! The storage plugin was replaced.\n")
	return s.showPlugin(plugin)
}

// storagePlugin is the answer of sys/plugins/storage.
type storagePlugin struct {
	Type         string `json:"type"`
	Name         string `json:"name"`
	Version      string `json:"version"`
	SDK          string `json:"sdk"`
	Protocol     int    `json:"protocol"`
	Capabilities struct {
		HA            bool `json:"ha"`
		HADisabled    bool `json:"ha_disabled"`
		LastWill      bool `json:"last_will"`
		MaxKeyBytes   int  `json:"max_key_bytes"`
		MaxValueBytes int  `json:"max_value_bytes"`
		MaxOps        int  `json:"max_ops"`
		MaxBatchBytes int  `json:"max_batch_bytes"`
	} `json:"capabilities"`
	Path        string     `json:"path"`
	SHA256      string     `json:"sha256,omitempty"`
	PID         int        `json:"pid,omitempty"`
	Running     bool       `json:"running"`
	StartTime   *time.Time `json:"start_time,omitempty"`
	Uptime      int64      `json:"uptime_seconds"`
	Restarts    int        `json:"restarts"`
	LastRestart *time.Time `json:"last_restart_time,omitempty"`
	Reloads     int        `json:"reloads"`
	LastReload  *time.Time `json:"last_reload_time,omitempty"`
	LastError   string     `json:"last_error,omitempty"`
}

func (s *session) showPlugin(p storagePlugin) error {
	if s.out.json() {
		return s.out.value(p)
	}
	uptime, availability := "n/a: it is down", "available"
	if p.Running {
		uptime = (time.Duration(p.Uptime) * time.Second).String()
	}
	switch {
	case !p.Capabilities.HA:
		availability = "unavailable"
	case p.Capabilities.HADisabled:
		availability = "disabled"
	}
	pid := ""
	if p.PID != 0 {
		pid = strconv.Itoa(p.PID)
	}
	s.out.table([]string{"Key", "Value"}, [][]string{
		{"Type", display(p.Type)},
		{"Name", display(p.Name)},
		{"Version", display(p.Version)},
		{"SDK", display(p.SDK)},
		{"Protocol", strconv.Itoa(p.Protocol)},
		{"HA", availability},
		{"Last Will", strconv.FormatBool(p.Capabilities.LastWill)},
		{"Max Key", strconv.Itoa(p.Capabilities.MaxKeyBytes) + " bytes"},
		{"Max Value", strconv.Itoa(p.Capabilities.MaxValueBytes) + " bytes"},
		{"Max Batch", strconv.Itoa(p.Capabilities.MaxOps) + " operations, " + strconv.Itoa(p.Capabilities.MaxBatchBytes) + " bytes"},
		{"Path", display(p.Path)},
		{"SHA256", display(p.SHA256)},
		{"PID", display(pid)},
		{"Uptime", uptime},
		{"Restarts", strconv.Itoa(p.Restarts)},
		{"Last Restart", moment(p.LastRestart)},
		{"Reloads", strconv.Itoa(p.Reloads)},
		{"Last Reload", moment(p.LastReload)},
		{"Last Error", display(p.LastError)},
	})
	return nil
}
