package plugin

import (
	"context"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"regexp"
	"strconv"
	"strings"
	"syscall"

	goplugin "github.com/hashicorp/go-plugin"

	"github.com/holdfast/holdfast/sdk/wire"
)

// launchError says in one line why the plugin did not start. err is go-plugin's word,
// the last resort.
func (p *process) launchError(ctx context.Context, err error) error {
	r := p.runner
	r.mu.Lock()
	startErr, handshake, printed, reaped, killed := r.startErr, r.handshake, r.printed, r.reaped, r.killed
	r.mu.Unlock()
	switch {
	case startErr != nil:
		return explainExec(p.program.path, startErr)
	case handshake != "":
		if problem := checkHandshake(handshake); problem != nil {
			return problem
		}
		return p.explain(err)
	case ctx.Err() != nil:
		return p.quoting(fmt.Errorf("no handshake before the attempt was stopped: %w", context.Cause(ctx)))
	case reaped && !killed:
		return p.quoting(fmt.Errorf("it ended before its handshake (%s)%s", r.cmd.ProcessState, instead(printed)))
	case killed:
		return p.quoting(fmt.Errorf("no handshake in time%s; is it a Holdfast storage plugin?", instead(printed)))
	default:
		return err
	}
}

// instead says what a plugin printed to stdout in place of its handshake, and what to do if the
// handshake is in that line.
func instead(printed string) string {
	at := gluedHandshake.FindStringIndex(printed)
	switch {
	case printed == "":
		return ""
	case at == nil:
		return fmt.Sprintf("; it printed %q to stdout instead", printed)
	default:
		return fmt.Sprintf("; it printed %q to stdout in front of the handshake, in the same line: let it print to stderr", printed[:at[0]])
	}
}

// gluedHandshake is a handshake that does not begin its line.
var gluedHandshake = regexp.MustCompile(`\d\|\d+\|(unix|tcp)\|`)

// explainExec names the usual reasons why a file that looks executable is not.
func explainExec(path string, err error) error {
	theirs, ours := machineOf(path), machineOf("/proc/self/exe")
	switch {
	case errors.Is(err, syscall.ENOEXEC) && theirs != "" && ours != "" && theirs != ours:
		return fmt.Errorf("it is built for machine %s, and this one is %s: install the build for this one: %w", theirs, ours, err)
	case errors.Is(err, syscall.ENOEXEC):
		return fmt.Errorf("not a program for this machine, or a script without #! line: %w", err)
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("the interpreter or the dynamic loader that it names is missing: %w", err)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("not executable by this user, or on a file system mounted noexec: %w", err)
	default:
		return err
	}
}

// machineOf returns what kind of machine the ELF file at path is for; empty if it is none.
func machineOf(path string) string {
	file, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer func() { _ = file.Close() }() // opened for reading
	header := make([]byte, 20)
	if _, err := io.ReadFull(file, header); err != nil || string(header[:len(elfMagic)]) != elfMagic {
		return ""
	}
	var order binary.ByteOrder = binary.LittleEndian
	if elf.Data(header[elf.EI_DATA]) == elf.ELFDATA2MSB {
		order = binary.BigEndian
	}
	return strings.TrimPrefix(elf.Machine(order.Uint16(header[18:])).String(), "EM_") // e_machine, elf(5)
}

// checkHandshake reports why a handshake line is not what this host speaks, if it is
// not. Its fields are: core version, our version, network, address, protocol.
func checkHandshake(line string) error {
	fields := strings.Split(strings.TrimSpace(line), "|")
	core, coreErr := strconv.Atoi(fields[0])
	version, versionErr := strconv.Atoi(fields[1])
	if err := errors.Join(coreErr, versionErr); err != nil {
		return fmt.Errorf("read its handshake: %w", err)
	}
	switch {
	case core != goplugin.CoreProtocolVersion:
		return fmt.Errorf("plugin uses version %d of the go-plugin handshake, this host version %d: rebuild the plugin",
			core, goplugin.CoreProtocolVersion)
	case version > wire.ProtocolVersion:
		return fmt.Errorf("plugin speaks protocol %d, this host speaks %d: upgrade the host", version, wire.ProtocolVersion)
	case version < wire.ProtocolVersion:
		return fmt.Errorf("plugin speaks protocol %d, this host speaks %d: upgrade the plugin", version, wire.ProtocolVersion)
	case fields[2] != "unix":
		return fmt.Errorf("plugin listens on %s: want a unix socket in $PLUGIN_UNIX_SOCKET_DIR", fields[2])
	case len(fields) < 5 || fields[4] != string(goplugin.ProtocolGRPC):
		return errors.New("plugin does not say that it speaks gRPC: want grpc as the fifth field of its handshake")
	}
	return nil
}
