package config

import "time"

// shamirOnly is why other ways to unseal are refused.
const shamirOnly = "only key shares (Shamir) unseal the server; take the stanza out"

// serverRules returns what becomes of each key at the top of a file: all of Vault's,
// and our own: ha and plugin.
func serverRules() map[string]rule[Config] {
	const oneStore = "the record that fences writes and the data must be in one store: use storage alone"
	rules := map[string]rule[Config]{
		// Used.
		"storage":          stanza("storage", loadStorage),
		"backend":          stanza("backend", loadStorage),
		"listener":         stanza("listener", loadListener),
		"plugin":           stanza("plugin", loadPlugin),
		"seal":             stanza("seal", loadSeal),
		"ha":               {set: loadHA, repeats: true},
		"plugin_directory": text(func(c *Config) *string { return &c.PluginDirectory }),
		"api_addr":         text(func(c *Config) *string { return &c.APIAddr }),
		"cluster_addr":     text(func(c *Config) *string { return &c.ClusterAddr }),
		"cluster_name":     text(func(c *Config) *string { return &c.ClusterName }),
		"log_level":        used(asLogLevel, func(c *Config) *string { return &c.Log.Level }),
		"log_format":       used(asLogFormat, func(c *Config) *string { return &c.Log.Format }),

		"default_max_request_duration": duration(func(c *Config) *time.Duration {
			return &c.MaxRequestDuration
		}),

		// Refused: the server would do something other than what was asked for.
		"ha_storage":       refused[Config](oneStore),
		"ha_backend":       refused[Config](oneStore),
		"hsm":              refused[Config](shamirOnly),
		"kms":              refused[Config](shamirOnly),
		"kms_library":      refused[Config](shamirOnly),
		"enable_multiseal": refusedIfTrue[Config](shamirOnly),
		"entropy":          refused[Config]("random numbers come from the kernel only"),
	}
	ignore(rules, ignoredServerKeys())
	return rules
}

// ignoredServerKeys returns the keys without effect, each with the reason: nothing is lost
// by them, or nothing that an operator would not notice.
func ignoredServerKeys() map[string]string {
	const (
		noEnterprise = "belongs to Vault Enterprise"
		toStderr     = "logs go to standard error"
		noExpiry     = "the root token, the only one there is, does not expire"
		ownChecks    = "owner and mode of plugins are always checked"
	)
	return map[string]string{
		"adaptive_overload_protection":        noEnterprise,
		"administrative_namespace_path":       noEnterprise,
		"allow_audit_log_prefixing":           "there are no audit devices",
		"cache_size":                          "the cache has a fixed size",
		"cloud":                               "there is no link to a cloud service",
		"cluster_cipher_suites":               "nodes speak TLS 1.3 among themselves, whose cipher suites are fixed",
		"default_lease_ttl":                   noExpiry,
		"detect_deadlocks":                    "it is a debugging aid of Vault",
		"disable_cache":                       "the cache never answers what is stale",
		"disable_clustering":                  "standby nodes always forward to the active one",
		"disable_indexing":                    noEnterprise,
		"disable_mlock":                       "memory is never locked: use encrypted swap, or none",
		"disable_performance_standby":         noEnterprise,
		"disable_printable_check":             "keys are always checked",
		"disable_sealwrap":                    noEnterprise,
		"disable_sentinel_trace":              noEnterprise,
		"enable_post_unseal_trace":            "it is a debugging aid of Vault",
		"enable_response_header_hostname":     "the header is not sent",
		"enable_response_header_raft_node_id": "there is no raft storage",
		"enable_ui":                           "there is no web interface",
		"enable_unauthenticated_access":       "what needs a token always needs it",
		"experiments":                         "they are Vault's",
		"imprecise_lease_role_tracking":       "there are no quotas by role",
		"introspection_endpoint":              "there is no such endpoint",
		"license_path":                        "no licence is needed",
		"log_file":                            toStderr,
		"log_requests_level":                  "requests are not logged",
		"log_rotate_bytes":                    toStderr,
		"log_rotate_duration":                 toStderr,
		"log_rotate_max_files":                toStderr,
		"max_lease_ttl":                       noExpiry,
		"observations":                        noEnterprise,
		"pid_file":                            "no file is written",
		"plugin_file_permissions":             ownChecks,
		"plugin_file_uid":                     ownChecks,
		"plugin_tmpdir":                       "plugins get a private directory each",
		"post_unseal_trace_directory":         "it is a debugging aid of Vault",
		"raw_storage_endpoint":                "there is no such endpoint",
		"remove_irrevocable_lease_after":      noEnterprise,
		"reporting":                           noEnterprise,
		"request_limiter":                     "limits are built in",
		"sentinel":                            noEnterprise,
		"service_registration":                "nodes are not registered anywhere; health checks tell the active one",
		"telemetry":                           "metrics are not exported",
		"ui":                                  "there is no web interface",
		"user_lockout":                        "there are no logins by password",
	}
}
