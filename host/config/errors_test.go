package config

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

func TestErrorsNameFileLineAndKey(t *testing.T) {
	for _, tt := range []struct{ name, file, text, want string }{
		{"unknown key", "a.hcl", minimal + "\nplugin_dir = 1", "a.hcl:6: plugin_dir: unknown key"},
		{"near key", "a.hcl", minimal + "api_adr = \"x\"", "a.hcl:5: api_adr: unknown key; did you mean api_addr?"},
		{"in a listener", "a.hcl", minimal + "listener \"tcp\" {\n tls_disabled = true\n}", "a.hcl:6: listener.tls_disabled: unknown key; did you mean tls_disable?"},
		{"in ha", "a.hcl", minimal + `ha { leese = 1 }`, "a.hcl:5: ha.leese: unknown key; did you mean lease?"},
		{"in plugin", "a.hcl", minimal + `plugin "x" { shasum = "" }`, "a.hcl:5: plugin.shasum: unknown key"},
		{"in JSON", "a.json", "{\n\"log_levl\":\n\"x\"}", "a.json:2: log_levl: unknown key; did you mean log_level?"},
		{"twice in JSON", "a.json", "{\"log_level\": \"x\",\n\"log_level\": \"y\"}", "a.json:2: log_level: is set twice"},
		{"twice in HCL", "a.hcl", "log_level = 1\nlog_level = 2", "a.hcl"},
		{"twice by case", "a.hcl", minimal + "log_level = \"info\"\nLog_Level = \"info\"", "a.hcl:6: Log_Level: is set twice"},
		{"syntax", "a.hcl", "storage {\n", "a.hcl"},
		{"syntax in JSON", "a.json", "{\n\"a\": }", "a.json:2"},
		{"not an object", "a.json", "[]", "a.json"},
		{"unfinished JSON", "a.json", "{\"ui\": {", "a.json:1"},
		{"number out of range", "a.hcl", "x = 99999999999999999999", "a.hcl:1"},
		{"type", "a.hcl", minimal + "api_addr = [1]", "a.hcl:5: api_addr: must be a string, not a list"},
		{"boolean", "a.hcl", minimal + "listener \"tcp\" { tls_disable = \"maybe\" }", "a.hcl:5: listener.tls_disable: must be true or false"},
		{"duration", "a.hcl", minimal + "default_max_request_duration = \"soon\"", "a.hcl:5: default_max_request_duration: must be a duration"},
		{"negative duration", "a.hcl", minimal + "default_max_request_duration = -1", "a.hcl:5: default_max_request_duration: duration is out of range"},
		{"size", "a.hcl", minimal + "listener \"tcp\" { max_request_size = 0 }", "listener.max_request_size: must be at least 1"},
		{"level", "a.hcl", minimal + "log_level = \"loud\"", "a.hcl:5: log_level: must be trace"},
		{"old TLS", "a.hcl", minimal + `listener "tcp" { tls_min_version = "tls10" }`, `must be "tls12" or "tls13"`},
		{"weak cipher", "a.hcl", minimal + `listener "tcp" { tls_cipher_suites = "TLS_RSA_WITH_RC4_128_SHA" }`, "not a secure cipher suite"},
		{"ha_storage", "a.hcl", minimal + `ha_storage "consul" {}`, "a.hcl:5: ha_storage: the record that fences writes and the data must be in one store"},
		{"auto-unseal", "a.hcl", minimal + `seal "awskms" {}`, `a.hcl:5: seal "awskms": only key shares (Shamir) unseal`},
		{"two storages", "a.hcl", minimal + "backend \"consul\" {}", `a.hcl:5: backend "consul": there is a storage stanza at`},
		{"unix listener", "a.hcl", minimal + `listener "unix" {}`, `a.hcl:5: listener "unix": only listener "tcp" is supported`},
		{"listener without a label", "a.hcl", minimal + `listener { address = "x" }`, `listener: has no label: write listener "type"`},
		{"storage is no block", "a.hcl", `storage = "consul"`, "storage: must be a block"},
		{"two labels", "a.hcl", minimal + `storage "a" "b" {}`, "storage: has 2 labels"},
		{"labelled value", "a.hcl", minimal + `api_addr "x" {}`, "api_addr: is a value"},
		{"block in storage", "a.hcl", `storage "x" { retry { a = 1 } }`, "a.hcl:1: storage.retry: must be a string"},
		{"null option", "a.json", `{"storage": {"x": {"a": null}}}`, "storage.a: must be a string"},
		{"chroot", "a.hcl", minimal + `listener "tcp" { chroot_namespace = "x" }`, "listener.chroot_namespace: there are no namespaces"},
		{"redaction", "a.hcl", minimal + `listener "tcp" { redact_version = true }`, "listener.redact_version"},
		{"read mode", "a.hcl", minimal + `ha { read_mode = "fast" }`, `ha.read_mode: must be "lease" or "strict"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, _, err := load(t, map[string]string{tt.file: tt.text})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got  %v\nwant an error with %q", err, tt.want)
			}
		})
	}
}

func TestValidation(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"empty", "", "storage: there is no storage stanza"},
		{"no listener", `storage "x" {}`, "listener: there is none"},
		{"no plugin directory", `storage "x" {}`, "plugin_directory: is not set"},
		{"no certificate", `listener "tcp" {}`, "tls_disable = true"},
		{"no key", `listener "tcp" { tls_cert_file = "x" }`, "listener.tls_key_file: is not set"},
		{"client CA without TLS", minimal + `listener "tcp" { tls_disable = true tls_client_ca_file = "x" }`, "without TLS"},
		{"no port", minimal + `listener "tcp" { tls_disable = true address = "10.0.0.1" }`, "listener.address: must be host:port"},
		{"lease too short", minimal + `ha { lease = "100ms" beat = "25ms" }`, "ha.lease: 100ms is not from 500ms to 1m0s"},
		{"lease too long", minimal + `ha { lease = "61s" }`, "ha.lease"},
		{"beat too slow", minimal + `ha { beat = "501ms" }`, "ha.beat: 501ms is not from 20ms to a quarter of ha.lease, 500ms"},
		{"no beat", minimal + `ha { beat = 0 }`, "ha.beat"},
		{"hold too long", minimal + `ha { hold = "2m" }`, "ha.hold"},
		{"checksum", minimal + `plugin "x" { sha256 = "12" }`, `plugin "x": sha256: must be 64`},
		{"relative command", minimal + `plugin "x" { command = "y" }`, "command: must be an absolute path"},
		{"environment", minimal + `plugin "x" { env = ["PATH"] }`, "env: each must be NAME=value"},
		{"attach", minimal + `plugin "x" { attach = "tcp://1" }`, "attach: must be unix://"},
		{"attach and confinement", minimal + `plugin "x" { attach = "unix:///s" max_memory = "1GiB" }`, "attach: a plugin that runs already"},
		{"descriptors", minimal + `plugin "x" { max_open_files = 0 }`, "plugin.max_open_files: must be a whole number, at least 1"},
		{"memory", minimal + `plugin "x" { max_memory = "512MB" }`, `plugin.max_memory: must be a size such as "512MiB"`},
		{"memory out of range", minimal + `plugin "x" { max_memory = "9000000000GiB" }`, `plugin.max_memory: must be a size`},
		{"attach and command", minimal + `plugin "x" { attach = "unix:///s" command = "/y" }`, "attach: a plugin that runs already"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, _, err := load(t, map[string]string{"a.hcl": tt.text})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got  %v\nwant an error with %q", err, tt.want)
			}
		})
	}
}

func TestAllErrorsAtOnce(t *testing.T) {
	_, _, err := load(t, map[string]string{
		"1.hcl": "nonsense = 1\nhsm \"x\" {}\nha { lease = \"1ms\" }",
		"2.hcl": `listener "tcp" { addrss = "x" }`,
		"3.hcl": "{{{",
	})
	if err == nil {
		t.Fatal("Load succeeded")
	}
	for _, want := range []string{"nonsense", "hsm", "ha.lease", "ha.beat", "listener.addrss", "3.hcl", "storage"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("errors do not name %q:\n%v", want, err)
		}
	}
}

func TestHostileFilesEndSoon(t *testing.T) {
	const n = 1 << 19
	for name, text := range map[string]string{
		"open lists":       "a = " + strings.Repeat("[", n),
		"open blocks":      strings.Repeat("a{", n),
		"lists and blocks": "a = " + strings.Repeat("[{a=", n/2),
		"brackets allowed": "a = " + strings.Repeat("[", maxBrackets-1),
		"keys":             strings.Repeat("a ", n),
		"one long key":     strings.Repeat("a", n) + " = 1",
		"JSON lists":       `{"a":` + strings.Repeat("[", n),
		"JSON objects":     strings.Repeat(`{"a":`, n),
	} {
		t.Run(name, func(t *testing.T) {
			if _, _, err := loadText("a.conf", text); err == nil {
				t.Error("was accepted")
			}
		})
	}
}

func TestStorageErrorsDoNotShowValues(t *testing.T) {
	_, _, err := load(t, map[string]string{"a.hcl": `storage "x" { token { secret = "hunter2" } }`})
	if err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("got %v", err)
	}
}

func TestWarnings(t *testing.T) {
	c, warnings, err := load(t, map[string]string{"a.hcl": minimal + `ui = true
telemetry { statsd_address = "x" }
telemetry = 5
service_registration "consul" { address = "x" }
listener "tcp" { tls_disable = true cors_enabled = true }
listener "tcp" { tls_disable = true cors_enabled = true }
disable_mlock = true
ha_storage_unused = 1`})
	if err == nil || c != nil {
		t.Errorf("Load = %v, %v, want only errors", c, err)
	}
	var got []string
	for _, w := range warnings {
		got = append(got, fmt.Sprintf("%s:%d:%s", filepath.Base(w.File), w.Line, w.Key))
	}
	want := "[a.hcl:5:ui a.hcl:6:telemetry a.hcl:8:service_registration a.hcl:9:listener.cors_enabled a.hcl:11:disable_mlock]"
	if fmt.Sprint(got) != want {
		t.Errorf("warnings %v, want %v", got, want)
	}
	if text := warnings[0].String(); !strings.HasSuffix(text, "a.hcl:5: ui: ignored: there is no web interface") {
		t.Errorf("warning %q", text)
	}
}

func TestLegacyAddresses(t *testing.T) {
	const legacy = `
plugin_directory = "/p"
listener "tcp" { tls_disable = true }
backend "consul" {
  advertise_addr = "http://old:8200"
  cluster_addr = "https://old:8201"
  disable_clustering = "false"
  token = "t"
}`
	c, warnings, err := load(t, map[string]string{"a.hcl": legacy})
	if err != nil {
		t.Fatal(err)
	}
	if c.APIAddr != "http://old:8200" || c.ClusterAddr != "https://old:8201" || len(warnings) != 3 {
		t.Errorf("API %q, cluster %q, warnings %v", c.APIAddr, c.ClusterAddr, warnings)
	}
	if got := c.Storage.Options; len(got) != 1 || got["token"] != "t" {
		t.Errorf("options %v, want token only", got)
	}
	c, _, err = load(t, map[string]string{"a.hcl": legacy + "\napi_addr = \"http://new:8200\""})
	if err != nil || c.APIAddr != "http://new:8200" {
		t.Errorf("api_addr = %+v, %v, want the one at the top", c, err)
	}
}

func TestErrorsCanBeTakenApart(t *testing.T) {
	_, _, err := load(t, map[string]string{"a.hcl": minimal + "nonsense = 1"})
	key, ok := errors.AsType[*KeyError](err)
	if !ok || key.Key != "nonsense" || key.Line != 5 {
		t.Errorf("got %#v, %t, want a KeyError of nonsense in line 5", key, ok)
	}
}

func TestStoragePlace(t *testing.T) {
	c, _, err := loadText("a.hcl", "plugin_directory = \"/p\"\nlistener \"tcp\" { tls_disable = true }\nstorage \"x\" {\n  a = 1\n  b = 2\n}")
	if err != nil {
		t.Fatal(err)
	}
	for option, want := range map[string]string{"a": "a.hcl:4", "b": "a.hcl:5", "c": "a.hcl:3", "": "a.hcl:3"} {
		if got := c.Storage.Place(option); got != want {
			t.Errorf("option %q: got %q, want %q", option, got, want)
		}
	}
	if got := Dev().Storage.Place("a"); got != "" {
		t.Errorf("without a file: got %q, want nothing", got)
	}
}
