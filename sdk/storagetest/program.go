package storagetest

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// programCases are about the plugin's program, and a process of it that is well.
func programCases() []Case {
	cases := []Case{
		{ID: "P-01", Promise: "The program describes itself soon and without a configuration, by hand as over the wire.", Run: describesItself},
		{ID: "P-03", Promise: "Noise on its socket harms nobody: strangers who talk nonsense are dropped.", Run: noiseOnSocket},
		{ID: "P-14", Promise: "SIGINT and SIGTERM, which reach the whole process group, leave the plugin to its host.", Run: signalsAreTheHosts},
		{ID: "P-15", Promise: "The process gets nothing of the host's environment, and no secret is in its environment, arguments or log.", Run: keepsSecrets},
		{ID: "P-17", Promise: "An unknown option is refused by its name.", Run: unknownOption},
		{ID: "P-18", Promise: "Several backends live in one process; closing one leaves the others.", Run: severalBackends},
		{ID: "P-19", Promise: "Its socket is in a directory that nobody else may enter, and closing leaves neither process nor socket.", Run: closeLeavesNothing},
	}
	for i := range cases {
		cases[i].Profile, cases[i].Needs.Program = Process, true
	}
	return cases
}

// start starts a process of the program, which is closed after the case.
func (t *T) start() (Instance, *node) {
	ctx, cancel := context.WithTimeout(t.ctx, openTimeout)
	defer cancel()
	instance, err := t.plan.harness.Program.Start(ctx)
	if err != nil {
		t.Fatalf("start the program: %v", err)
	}
	return instance, t.adopt(instance, instance.Capabilities(), t.plan.ha)
}

func describesItself(t *T) {
	program := t.plan.harness.Program
	ctx, cancel := context.WithTimeout(t.ctx, t.patience())
	defer cancel()
	began := time.Now()
	out, err := program.ByHand(ctx, "describe")
	took := time.Since(began)
	if err != nil {
		t.Fatalf("describe by hand: %v", err)
	}
	var byHand struct {
		Name     string   `json:"name"`
		Version  string   `json:"version"`
		Services []string `json:"services"`
	}
	if err := json.Unmarshal(out, &byHand); err != nil {
		t.Fatalf("describe by hand does not print a JSON object: %v", err)
	}
	t.Logf("describe by hand took %v", took.Round(time.Millisecond))
	overTheWire, err := program.Describe(ctx)
	if err != nil {
		t.Fatalf("describe over the wire: %v", err)
	}
	slices.Sort(byHand.Services)
	slices.Sort(overTheWire.Services)
	if byHand.Name != overTheWire.Name || byHand.Version != overTheWire.Version || !slices.Equal(byHand.Services, overTheWire.Services) {
		t.Errorf("by hand it is %+v, over the wire %+v", byHand, overTheWire)
	}
	if byHand.Name == "" || byHand.Version == "" {
		t.Errorf("it describes itself as %q version %q, want a name and a version", byHand.Name, byHand.Version)
	}
	if _, err := program.ByHand(ctx); err == nil {
		t.Errorf("run by hand without arguments it exits with 0, want an explanation and an error")
	}
}

func noiseOnSocket(t *T) {
	p, n := t.start()
	n.put("a", "v")
	var strangers sync.WaitGroup
	for i := range 10 {
		noise := []byte(strings.Repeat(fmt.Sprintf("GET /%d HTTP/1.1\r\n\x00\xff", i), 1+i*1000))
		strangers.Go(func() {
			conn, err := net.DialTimeout("unix", p.Socket(), t.patience())
			if err != nil {
				t.Errorf("connect to the socket: %v", err)
				return
			}
			_ = conn.SetDeadline(time.Now().Add(t.overrun()))
			_, _ = conn.Write(noise) // it may hang up on us
			_ = conn.Close()
		})
	}
	pid := p.PID()
	for i := range 50 {
		n.put("a", fmt.Sprint(i))
		n.wantValue("a", fmt.Sprint(i))
	}
	strangers.Wait()
	n.wantValue("a", "49")
	if p.PID() != pid {
		t.Errorf("the process was replaced")
	}
}

func signalsAreTheHosts(t *T) {
	p, n := t.start()
	n.put("a", "v")
	pid := p.PID()
	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGINT} {
		t.signal(pid, signal)
		t.pause(grace)
		n.wantValue("a", "v")
	}
	n.put("a", "w")
	if p.PID() != pid || !runs(pid) {
		t.Errorf("a signal to the group ended the process: its host can not hand over any more")
	}
}

// signal sends a signal to a process of the case.
func (t *T) signal(pid int, signal syscall.Signal) {
	if pid <= 0 {
		t.Fatalf("there is no process to send %v to", signal)
	}
	if err := syscall.Kill(pid, signal); err != nil {
		t.Fatalf("send %v to process %d: %v", signal, pid, err)
	}
}

// kill kills a process that may be gone already. The number 0, of a process that is being
// replaced, would mean this process and its group.
func (t *T) kill(pid int) {
	if pid > 0 {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
}

// replace kills the process and waits until the host has started another.
func (t *T) replace(p Instance) {
	pid := p.PID()
	t.signal(pid, syscall.SIGKILL)
	t.replaced(p, pid)
}

func (t *T) replaced(p Instance, pid int) bool {
	return t.eventually(t.patience(), "another process has taken over", func() bool { return p.PID() != 0 && p.PID() != pid })
}

// runs reports whether the process exists and is not merely waiting to be reaped.
func runs(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return runtime.GOOS != "linux" && syscall.Kill(pid, 0) == nil
	}
	_, after, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(after, "Z") && !strings.HasPrefix(after, "X")
}

func keepsSecrets(t *T) {
	if runtime.GOOS != "linux" {
		t.Skipf("the environment of a process can not be read on %s", runtime.GOOS)
	}
	p, n := t.start()
	n.put("a", "v")
	n.wantValue("a", "v")
	for _, file := range []string{"environ", "cmdline"} {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", p.PID(), file))
		if err != nil {
			t.Fatalf("look at the process: %v", err)
		}
		t.wantNoSecret(file, string(text))
	}
	t.replace(p)
	n.put("a", "w") // by the next process
	t.wantNoSecret("log", p.Output())
}

// wantNoSecret does not show the text.
func (t *T) wantNoSecret(where, text string) {
	for i, secret := range t.plan.harness.Program.Secrets() {
		if secret != "" && strings.Contains(text, secret) {
			t.Errorf("secret number %d is in the %s of the process", i, where)
		}
	}
}

func unknownOption(t *T) {
	const option = "no_such_option_of_storage"
	ctx, cancel := context.WithTimeout(t.ctx, t.patience())
	defer cancel()
	err := t.plan.harness.Program.Configure(ctx, option, "x")
	if err == nil || !strings.Contains(err.Error(), option) {
		t.Errorf("configure with the option %q: got %v, want an error that names it", option, err)
	}
}

func severalBackends(t *T) {
	p, n := t.start()
	n.put("a", "v")
	var others []*node
	for range 3 {
		b, err := p.Attach(t.ctx)
		if err != nil {
			t.Fatalf("configure one more backend in the process: %v", err)
		}
		others = append(others, t.adopt(b, p.Capabilities(), t.plan.ha))
	}
	pid := p.PID()
	for i, other := range others {
		other.wantValue("a", "v")
		other.put(fmt.Sprint(i), "v")
		if err := other.Close(); err != nil {
			t.Errorf("close one of several: %v", err)
		}
		n.wantValue(fmt.Sprint(i), "v")
	}
	if p.PID() != pid || !runs(pid) {
		t.Errorf("closing a backend ended the process of the others")
	}
}

func closeLeavesNothing(t *T) {
	p, n := t.start()
	n.put("a", "v")
	n.remove("a")
	pid, socket := p.PID(), p.Socket()
	if info, err := os.Stat(filepath.Dir(socket)); err != nil || info.Mode().Perm()&0o077 != 0 {
		t.Errorf("directory of the socket: %v, %v, want it closed to others", info, err)
	}
	began := time.Now()
	if err := n.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	t.Logf("closed within %v", time.Since(began).Round(time.Millisecond))
	t.wantGone(pid, socket)
}

// wantGone checks that soon neither the process nor its socket is there.
func (t *T) wantGone(pid int, socket string) {
	began := time.Now()
	t.eventually(t.overrun(), fmt.Sprintf("process %d is gone", pid), func() bool { return !runs(pid) })
	if socket != "" {
		t.eventually(t.overrun(), "its socket is gone", func() bool {
			_, err := os.Stat(socket)
			return err != nil
		})
	}
	if took := time.Since(began); took > time.Second {
		t.Logf("process %d and its socket were gone after %v", pid, took.Round(time.Millisecond))
	}
}
