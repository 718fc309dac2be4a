package config

import (
	"errors"
	"fmt"
	"strings"
)

// ApplyEnv lets the environment win over the files; getenv is os.Getenv. For each
// setting our own variable wins over Vault's. A variable that is empty counts as not
// set.
func (c *Config) ApplyEnv(getenv func(string) string) error {
	first := func(names ...string) (name, value string) {
		for _, name := range names {
			if value := getenv(name); value != "" {
				return name, value
			}
		}
		return "", ""
	}
	if _, addr := first("HOLDFAST_API_ADDR", "VAULT_API_ADDR", "VAULT_REDIRECT_ADDR", "VAULT_ADVERTISE_ADDR"); addr != "" {
		c.APIAddr = addr
	}
	if _, addr := first("HOLDFAST_CLUSTER_ADDR", "VAULT_CLUSTER_ADDR"); addr != "" {
		c.ClusterAddr = addr
	}
	if attach := getenv("HOLDFAST_PLUGIN_ATTACH"); attach != "" {
		stanza := c.Plugins[c.Storage.Type]
		stanza.Attach = attach
		c.Plugins[c.Storage.Type] = stanza
	}
	var errs []error
	if name, value := first("HOLDFAST_LOG_LEVEL", "VAULT_LOG_LEVEL"); value != "" {
		level, err := asLogLevel(value)
		if err != nil {
			errs = append(errs, fmt.Errorf("environment variable %s %w", name, err))
		} else {
			c.Log.Level = level
		}
	}
	if name, value := first("HOLDFAST_LOG_FORMAT", "VAULT_LOG_FORMAT"); value != "" {
		format, err := asLogFormat(value)
		if err != nil {
			errs = append(errs, fmt.Errorf("environment variable %s %w", name, err))
		} else {
			c.Log.Format = format
		}
	}
	return errors.Join(errs...)
}

func asLogLevel(value any) (string, error) {
	text, _ := value.(string)
	switch level := strings.ToLower(strings.TrimSpace(text)); level {
	case "trace", "debug", "info", "warn", "error":
		return level, nil
	case "notice":
		return "info", nil
	case "warning":
		return "warn", nil
	case "err":
		return "error", nil
	default:
		return "", errors.New("must be trace, debug, info, warn or error")
	}
}

func asLogFormat(value any) (string, error) {
	text, _ := value.(string)
	switch format := strings.ToLower(strings.TrimSpace(text)); format {
	case "standard", "json":
		return format, nil
	case "":
		return "standard", nil
	default:
		return "", errors.New("must be standard or json")
	}
}
