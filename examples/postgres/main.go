// The program holdfast-storage-postgres is a storage plugin of Holdfast that keeps its data
// in one table of a PostgreSQL database, and makes Holdfast highly available on it.
//
// A Commit is one transaction that moves the guard's row only if it still holds the
// version and the value that the guard names: PostgreSQL itself refuses a node that is no
// longer active. Versions are numbers of one sequence, which never gives a number twice,
// whatever becomes of the row.
package main

import "github.com/holdfast/holdfast/sdk"

func main() {
	sdk.Main(sdk.Plugin[Config, *Backend]{
		Name:     "postgres",
		Version:  "0.1.0",
		Defaults: defaults(),
		Open:     open,
	})
}
