package servers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast/holdfast/test/harness"
	"github.com/holdfast/holdfast/test/process"
)

func TestConsulKeepsDataAcrossKillAndRestart(t *testing.T) {
	s := Consul(t)
	address := s.Address
	request(t, http.MethodPut, address, "kept")

	s.Kill()
	if conn, err := net.Dial("tcp", address); err == nil {
		t.Errorf("a killed server still accepts connections: %v", errors.Join(conn.Close()))
	}
	s.Restart()

	if s.Address != address {
		t.Errorf("address after restart is %s, want %s", s.Address, address)
	}
	if got := request(t, http.MethodGet, address, ""); got != "kept" {
		t.Errorf("value after restart is %q, want %q", got, "kept")
	}

	s.Stop()
	if err := syscall.Kill(s.PID(), 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("after Stop signal 0 gives %v, want %v", err, syscall.ESRCH)
	}
}

func TestConsulPausedDoesNotAnswer(t *testing.T) {
	s := Consul(t)
	for range 5 {
		s.Pause()
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.Address+"/v1/status/leader", nil)
		if err != nil {
			t.Fatal(err)
		}
		if resp, err := http.DefaultClient.Do(req); err == nil {
			t.Errorf("a paused server answered %s", errors.Join(errors.New(resp.Status), resp.Body.Close()))
		}
		cancel()
		s.Resume()
		harness.Eventually(t, "the resumed server takes a write", func() error { // it may have to elect itself again
			_, err := ask(t, http.MethodPut, s.Address, "again")
			return err
		})
	}
}

func TestConsulServersDoNotShareAnything(t *testing.T) {
	a, b := Consul(t), Consul(t)
	if a.Address == b.Address {
		t.Fatalf("two servers on one address %s", a.Address)
	}
	request(t, http.MethodPut, a.Address, "a's")
	request(t, http.MethodPut, b.Address, "b's")
	if got := request(t, http.MethodGet, a.Address, ""); got != "a's" {
		t.Errorf("the first server holds %q, want %q", got, "a's")
	}
}

// A server that can not bind its port ends at once: start must notice that by the
// process, not by the answer of whoever holds the port.
func TestConsulNoticesTakenPort(t *testing.T) {
	first := Consul(t)
	second := Consul(t)
	second.Kill()

	config := strings.Replace(readConfig(t, second), port(t, second.Address), port(t, first.Address), 1)
	writeConfig(t, second, config)
	second.Address = first.Address
	if err := errors.Join(second.launch(), second.awaitReady()); !errors.Is(err, process.ErrEnded) {
		t.Errorf("start on a taken port: %v, want %v", err, process.ErrEnded)
	}
}

// request is ask for a server that must answer.
func request(t *testing.T, method, address, body string) string {
	t.Helper()
	got, err := ask(t, method, address, body)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// ask reads or writes a value.
func ask(t *testing.T, method, address, body string) (string, error) {
	t.Helper()
	// Right after its election a leader may answer other reads from before it has caught up.
	url := "http://" + address + "/v1/kv/test?raw&consistent"
	req, err := http.NewRequestWithContext(t.Context(), method, url, bytes.NewBufferString(body))
	if err != nil {
		return "", err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s %s: status %d, %s", method, url, resp.StatusCode, got)
	}
	return string(got), err
}

// TestConsulCluster loses the leader of three members, which elect another one.
func TestConsulCluster(t *testing.T) {
	members := ConsulCluster(t, 3)
	first := awaitLeader(t, "consul", members, (*ConsulServer).Leads)
	first.Kill()
	if second := awaitLeader(t, "consul", members, (*ConsulServer).Leads); second == first {
		t.Error("the killed leader leads")
	}
	first.Restart()
}
