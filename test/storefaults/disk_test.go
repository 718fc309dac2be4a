package storefaults

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/holdfast/holdfast/test/servers"
)

// disk is a file system of its own, a small one, for the data of a server.
type disk struct {
	testing.TB
	dir string
}

// diskOptions leave room for what each of the stores allocates ahead, at the most 64 MiB of a
// log, twice.
const diskOptions = "size=192m,mode=0700"

func newDisk(t *testing.T) disk {
	t.Helper()
	d := disk{TB: t, dir: t.TempDir()}
	if err := unix.Mount("tmpfs", d.dir, "tmpfs", 0, diskOptions); err != nil {
		t.Fatalf("mount a small disk, which takes root: %v", err)
	}
	t.Cleanup(func() { // after the server on it has ended
		if err := unix.Unmount(d.dir, 0); err != nil {
			t.Errorf("unmount the small disk: %v", err)
		}
	})
	return d
}

// TempDir implements testing.TB: what is given the disk has its data there.
func (d disk) TempDir() string {
	d.Helper()
	dir, err := os.MkdirTemp(d.dir, "")
	if err != nil {
		d.Fatal(err)
	}
	return dir
}

func (d disk) filler() string { return filepath.Join(d.dir, "filler") }

// fill leaves no room.
func (d disk) fill() {
	d.Helper()
	file, err := os.Create(d.filler())
	if err != nil {
		d.Fatal(err)
	}
	defer file.Close()
	for block := make([]byte, 1<<20); len(block) > 0; {
		if _, err := file.Write(block); errors.Is(err, unix.ENOSPC) {
			block = block[:len(block)/2]
		} else if err != nil {
			d.Fatal(err)
		}
	}
}

// clear makes room again.
func (d disk) clear() {
	d.Helper()
	if err := os.Remove(d.filler()); err != nil {
		d.Fatal(err)
	}
}

// diskFull is a full disk of the store. What a server does then is its own affair: some end, some
// refuse. The operator makes room and starts it again.
func diskFull() (trials []trialOf) {
	for _, s := range []struct {
		name  string
		start func(d disk) site
	}{
		// Consul's other log, the default one, does not recover: "segment is sealed", for ever.
		{"consul", func(d disk) site { return consulSite(servers.Consul(d, `raft_logstore { backend = "boltdb" }`)) }},
		{"etcd", func(d disk) site { return etcdSite(servers.EtcdCluster(d, 1)) }},
		{"zookeeper", func(d disk) site { return zookeeperSite(servers.ZooKeeper(d, "-Dzookeeper.preAllocSize=64")) }}, // KiB
	} {
		trials = append(trials, trialOf{s.name, func(t *testing.T) trial {
			t.Helper()
			d := newDisk(t)
			site := s.start(d)
			return trial{site: site, inflict: d.fill, relieve: func() { d.clear(); site.Restart() }, readsMayGoOn: true}
		}})
	}
	return trials
}
