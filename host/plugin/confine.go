package plugin

// Confinement is what the process of a plugin is kept from. The zero value keeps it from gaining
// privileges, where the system can (Linux), and from nothing else.
type Confinement struct {
	// User is the name or number of the user the plugin runs as, with that user's primary group and
	// no other; empty means the user of this process. Only root can start it as another.
	User string
	// NewPrivileges lets programs that the plugin executes give it privileges, as setuid ones do.
	NewPrivileges bool
	// MaxOpenFiles is how many descriptors it may have open; 0 means as many as this process.
	MaxOpenFiles uint64
	// MaxMemory is how many bytes of memory it may have that it can write to and shares with nobody,
	// as RLIMIT_DATA counts; 0 means as many as this process. A Go program that needs more ends.
	MaxMemory uint64
}
