package config

import "time"

// serverRules returns what becomes of each key at the top of a file: all of Vault's,
// and our own: ha and plugin.
func serverRules() map[string]rule[Config] {
	const (
		noEnterprise = "belongs to Vault Enterprise"
		oneStore     = "the record that fences writes and the data must be in one store: use storage alone"
		shamirOnly   = "Holdfast is unsealed with key shares (Shamir) only; take the stanza out"
		toStderr     = "logs go to standard error"
		ownChecks    = "owner and mode of plugins are always checked"
	)
	return map[string]rule[Config]{
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
		"disable_mlock":    boolean(func(c *Config) *bool { return &c.DisableMlock }),

		"default_lease_ttl": duration(func(c *Config) *time.Duration { return &c.DefaultLeaseTTL }),
		"max_lease_ttl":     duration(func(c *Config) *time.Duration { return &c.MaxLeaseTTL }),
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

		// Ignored: nothing is lost, or nothing that an operator would not notice.
		"administrative_namespace_path":       ignored[Config](noEnterprise),
		"adaptive_overload_protection":        ignored[Config](noEnterprise),
		"allow_audit_log_prefixing":           ignored[Config]("there are no audit devices"),
		"cache_size":                          ignored[Config]("the cache has a fixed size"),
		"cloud":                               ignored[Config]("there is no link to a cloud service"),
		"cluster_cipher_suites":               ignored[Config]("nodes speak TLS 1.3 among themselves, whose cipher suites are fixed"),
		"detect_deadlocks":                    ignored[Config]("it is a debugging aid of Vault"),
		"disable_cache":                       ignored[Config]("the cache never answers what is stale"),
		"disable_clustering":                  ignored[Config]("standby nodes always forward to the active one"),
		"disable_indexing":                    ignored[Config](noEnterprise),
		"disable_performance_standby":         ignored[Config](noEnterprise),
		"disable_printable_check":             ignored[Config]("keys are always checked"),
		"disable_sealwrap":                    ignored[Config](noEnterprise),
		"disable_sentinel_trace":              ignored[Config](noEnterprise),
		"enable_post_unseal_trace":            ignored[Config]("it is a debugging aid of Vault"),
		"enable_response_header_hostname":     ignored[Config]("the header is not sent"),
		"enable_response_header_raft_node_id": ignored[Config]("there is no raft storage"),
		"enable_ui":                           ignored[Config]("there is no web interface"),
		"enable_unauthenticated_access":       ignored[Config]("what needs a token always needs it"),
		"experiments":                         ignored[Config]("they are Vault's"),
		"imprecise_lease_role_tracking":       ignored[Config]("there are no quotas by role"),
		"introspection_endpoint":              ignored[Config]("there is no such endpoint"),
		"license_path":                        ignored[Config]("no licence is needed"),
		"log_file":                            ignored[Config](toStderr),
		"log_requests_level":                  ignored[Config]("requests are not logged"),
		"log_rotate_bytes":                    ignored[Config](toStderr),
		"log_rotate_duration":                 ignored[Config](toStderr),
		"log_rotate_max_files":                ignored[Config](toStderr),
		"observations":                        ignored[Config](noEnterprise),
		"pid_file":                            ignored[Config]("no file is written"),
		"plugin_file_permissions":             ignored[Config](ownChecks),
		"plugin_file_uid":                     ignored[Config](ownChecks),
		"plugin_tmpdir":                       ignored[Config]("plugins get a private directory each"),
		"post_unseal_trace_directory":         ignored[Config]("it is a debugging aid of Vault"),
		"raw_storage_endpoint":                ignored[Config]("there is no such endpoint"),
		"remove_irrevocable_lease_after":      ignored[Config](noEnterprise),
		"reporting":                           ignored[Config](noEnterprise),
		"request_limiter":                     ignored[Config]("limits are built in"),
		"sentinel":                            ignored[Config](noEnterprise),
		"service_registration":                ignored[Config]("nodes are not registered anywhere; health checks tell the active one"),
		"telemetry":                           ignored[Config]("metrics are not exported"),
		"ui":                                  ignored[Config]("there is no web interface"),
		"user_lockout":                        ignored[Config]("there are no logins by password"),
	}
}
