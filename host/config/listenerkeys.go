package config

import "time"

// listenerRules returns what becomes of each key of a listener stanza.
func listenerRules() map[string]rule[Listener] {
	const stillShown = "can not be done: clients need what the status endpoints say"
	rules := map[string]rule[Listener]{
		// Used.
		"address":         text(func(l *Listener) *string { return &l.Address }),
		"cluster_address": text(func(l *Listener) *string { return &l.ClusterAddress }),

		"tls_disable":                        boolean(func(l *Listener) *bool { return &l.TLS.Disable }),
		"tls_cert_file":                      text(func(l *Listener) *string { return &l.TLS.CertFile }),
		"tls_key_file":                       text(func(l *Listener) *string { return &l.TLS.KeyFile }),
		"tls_client_ca_file":                 text(func(l *Listener) *string { return &l.TLS.ClientCAFile }),
		"tls_require_and_verify_client_cert": boolean(func(l *Listener) *bool { return &l.TLS.RequireClientCert }),
		"tls_disable_client_certs":           boolean(func(l *Listener) *bool { return &l.TLS.DisableClientCerts }),
		"tls_min_version":                    used(asTLSVersion, func(l *Listener) *uint16 { return &l.TLS.MinVersion }),
		"tls_max_version":                    used(asTLSVersion, func(l *Listener) *uint16 { return &l.TLS.MaxVersion }),
		"tls_cipher_suites":                  used(asCipherSuites, func(l *Listener) *[]uint16 { return &l.TLS.CipherSuites }),

		"max_request_size":         used(asSize, func(l *Listener) *int64 { return &l.Limits.MaxRequestSize }),
		"max_request_duration":     duration(func(l *Listener) *time.Duration { return &l.Limits.MaxRequestDuration }),
		"http_read_timeout":        duration(func(l *Listener) *time.Duration { return &l.Limits.ReadTimeout }),
		"http_read_header_timeout": duration(func(l *Listener) *time.Duration { return &l.Limits.ReadHeaderTimeout }),
		"http_write_timeout":       duration(func(l *Listener) *time.Duration { return &l.Limits.WriteTimeout }),
		"http_idle_timeout":        duration(func(l *Listener) *time.Duration { return &l.Limits.IdleTimeout }),

		// Refused: ignoring them would open what they close.
		"chroot_namespace":        refused[Listener]("there are no namespaces; the listener would serve everything"),
		"proxy_protocol_behavior": refused[Listener]("the PROXY protocol is not spoken; have the proxy connect plainly"),
		"redact_addresses":        refusedIfTrue[Listener](stillShown),
		"redact_cluster_name":     refusedIfTrue[Listener](stillShown),
		"redact_version":          refusedIfTrue[Listener](stillShown),
		"require_request_header":  refusedIfTrue[Listener]("the header X-Vault-Request is not looked at"),
		"role":                    refused[Listener]("every listener serves the whole API"),
	}
	ignore(rules, ignoredListenerKeys())
	return rules
}

// ignoredListenerKeys returns the keys without effect, each with the reason.
func ignoredListenerKeys() map[string]string {
	const (
		clientAddr = "the client's address is the connection's"
		noCORS     = "browsers get no cross-origin access"
		noUnix     = "there are no listeners on unix sockets"
		fixedJSON  = "the limits on JSON are fixed"
	)
	return map[string]string{
		"agent_api":                                   "belongs to Vault Agent",
		"cors_allowed_headers":                        noCORS,
		"cors_allowed_origins":                        noCORS,
		"cors_enabled":                                noCORS,
		"custom_response_headers":                     "the headers are not sent",
		"disable_replication_status_endpoints":        "there are no such endpoints",
		"disable_request_limiter":                     "limits are built in",
		"disable_unauthed_rekey_endpoints":            "there are no such endpoints",
		"enable_unauthenticated_rekey_endpoints":      "there are no such endpoints",
		"inflight_requests_logging":                   "there is no such endpoint",
		"max_json_array_element_count":                fixedJSON,
		"max_json_depth":                              fixedJSON,
		"max_json_object_entry_count":                 fixedJSON,
		"max_json_string_value_length":                fixedJSON,
		"max_json_token":                              fixedJSON,
		"max_token_header_size":                       "the limit on headers is fixed",
		"profiling":                                   "there is no such endpoint",
		"proxy_api":                                   "belongs to Vault Proxy",
		"proxy_protocol_authorized_addrs":             "the PROXY protocol is not spoken",
		"purpose":                                     "every listener serves the whole API",
		"socket_group":                                noUnix,
		"socket_mode":                                 noUnix,
		"socket_user":                                 noUnix,
		"telemetry":                                   "there is no such endpoint",
		"tls_prefer_server_cipher_suites":             "the TLS library decides",
		"x_forwarded_for_authorized_addrs":            clientAddr,
		"x_forwarded_for_client_cert_header":          clientAddr,
		"x_forwarded_for_client_cert_header_decoders": clientAddr,
		"x_forwarded_for_hop_skips":                   clientAddr,
		"x_forwarded_for_reject_not_authorized":       clientAddr,
		"x_forwarded_for_reject_not_present":          clientAddr,
	}
}
