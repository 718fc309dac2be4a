package api_test

import (
	"encoding/hex"
	"testing"

	"github.com/holdfast/holdfast/host/api"
	"github.com/holdfast/holdfast/host/seal"
)

func TestHealth(t *testing.T) {
	f := newFixture(t)
	active := func(*api.Status) {}
	standby := func(s *api.Status) { s.Role = api.RoleStandby }
	suspended := func(s *api.Status) { s.Role = api.RoleSuspended }
	sealed := func(s *api.Status) { s.Role, s.Sealed = api.RoleNone, true }
	empty := func(s *api.Status) { s.Role, s.Sealed, s.Initialized = api.RoleNone, true, false }
	before := f.node.Status()
	for _, tc := range []struct {
		state func(*api.Status)
		query string
		want  int
	}{
		{active, "", 200},
		{standby, "", 429},
		{suspended, "", 200},
		{sealed, "", 503},
		{empty, "", 501},
		{active, "?activecode=202", 202},
		{standby, "?standbycode=299", 299},
		{sealed, "?sealedcode=200", 200},
		{empty, "?uninitcode=204", 204},
		{standby, "?standbyok=true", 200},
		{standby, "?standbyok", 200},
		{standby, "?standbyok=false", 429},
		{standby, "?standbyok=true&activecode=203", 203},
		{standby, "?perfstandbyok=true", 429},
		{active, "?performancestandbycode=299&drsecondarycode=299", 200},
		{active, "?activecode=x", 400},
		{active, "?activecode=99", 400},
		{active, "?sealedcode=1000", 400},
		{active, "?standbyok=maybe", 400},
		{active, "?haunhealthycode=", 400},
	} {
		f.node.setStatus(func(s *api.Status) { *s = before; tc.state(s) })
		for _, method := range []string{"GET", "HEAD"} {
			got := f.do(method, "/v1/sys/health"+tc.query, "", "X-Vault-Token", "")
			if got.status != tc.want || method == "HEAD" && got.body != "" {
				t.Errorf("%s %q in role %q = %d %s, want %d", method, tc.query, f.node.Status().Role, got.status, got.body, tc.want)
			}
		}
	}
	f.ok(405, "POST", "/v1/sys/health", "")
}

func TestInit(t *testing.T) {
	f := newFixture(t)
	f.node.setStatus(func(s *api.Status) { s.Initialized, s.Sealed = false, true })
	if got := f.ok(200, "GET", "/v1/sys/init", ""); got.at("initialized") != false {
		t.Errorf("before init: %s", got.body)
	}
	f.node.init = func(req api.InitRequest) (api.InitResult, error) {
		if req != (api.InitRequest{Shares: 1, Threshold: 1}) {
			t.Errorf("init with %+v", req)
		}
		return api.InitResult{Shares: [][]byte{{1, 2, 3}}, RootToken: "hvs.root"}, nil
	}
	for _, body := range []string{
		``, `{"secret_shares":0,"secret_threshold":0}`, `{"secret_shares":3,"secret_threshold":4}`,
		`{"secret_shares":3,"secret_threshold":1}`, `{"secret_shares":1000,"secret_threshold":2}`,
		`{"secret_shares":"x"}`, `{"secret_shares":1,"secret_threshold":1,"pgp_keys":["x"]}`,
		`{"secret_shares":1,"secret_threshold":1,"root_token_pgp_key":"x"}`,
		`{"secret_shares":1,"secret_threshold":1,"recovery_shares":1}`, `{"secret_shares":1,"secret_threshold":1,"stored_shares":1}`,
	} {
		f.ok(400, "PUT", "/v1/sys/init", body)
	}
	const one = `{"secret_shares":1,"secret_threshold":1}`
	want := `{"keys":["010203"],"keys_base64":["AQID"],"root_token":"hvs.root"}`
	if got := f.ok(200, "PUT", "/v1/sys/init", one); got.body != want {
		t.Errorf("init = %s, want %s", got.body, want)
	}
	f.node.init = func(api.InitRequest) (api.InitResult, error) { return api.InitResult{}, api.ErrInitialized }
	if got := f.ok(400, "POST", "/v1/sys/init", one); got.body != `{"errors":["Vault is already initialized"]}` {
		t.Errorf("second init = %s", got.body)
	}
}

func TestUnseal(t *testing.T) {
	f := newFixture(t)
	f.node.setStatus(func(s *api.Status) { s.Sealed, s.Role = true, api.RoleNone })
	_, shares, err := seal.Generate(5, 3)
	if err != nil {
		t.Fatal(err)
	}
	got := f.ok(200, "PUT", "/v1/sys/unseal", `{"key":"`+hex.EncodeToString(shares[0])+`"}`, "X-Vault-Token", "")
	if got.at("progress") != 1.0 || got.at("t") != 3.0 || got.at("n") != 5.0 || got.at("sealed") != true || got.at("type") != "shamir" {
		t.Errorf("after one share: %s", got.body)
	}
	for _, body := range []string{``, `{}`, `{"key":"zz"}`, `{"key":"00"}`, `{"migrate":true}`, `{"key":5}`} {
		f.ok(400, "PUT", "/v1/sys/unseal", body)
	}
	if f.ok(200, "POST", "/v1/sys/unseal", `{"reset":true}`); f.node.resets != 1 {
		t.Error("reset did not reach the node")
	}
	f.ok(405, "GET", "/v1/sys/unseal", "")
}
