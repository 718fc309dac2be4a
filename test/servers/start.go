package servers

// Start starts the server again after Kill or Stop, with the same data and ports, and waits
// for nothing: alone it may never be ready.
func (s *ConsulServer) Start() { s.started(s.launch()) }

// Start starts the server again after Kill or Stop, with the same data and ports, and waits
// for nothing: alone it may never be ready.
func (s *EtcdServer) Start() { s.started(s.launch()) }

// Start starts the server again after Kill or Stop, with the same data and ports, and waits
// for nothing: alone it may never be ready.
func (s *ZooKeeperServer) Start() { s.started(s.launch()) }

func (d *daemon) started(err error) {
	d.t.Helper()
	if err != nil {
		d.t.Fatal(err)
	}
}

// DataDir is the server's dataDir, which holds its transaction logs.
func (s *ZooKeeperServer) DataDir() string { return s.dataDir() }
