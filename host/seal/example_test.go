package seal_test

import (
	"bytes"
	"fmt"

	"github.com/holdfast/holdfast/host/barrier"
	"github.com/holdfast/holdfast/host/seal"
)

// A cluster is initialised, and later unsealed by two of three key holders.
func Example() {
	rootKey, shares, err := seal.Generate(3, 2)
	if err != nil {
		fmt.Println(err)
		return
	}
	stored, err := barrier.NewKeyring("cluster id").SealWith(rootKey, "hf/keyring")
	if err != nil {
		fmt.Println(err)
		return
	}

	combined, err := seal.Combine([][]byte{shares[2], shares[0]}, 2)
	if err != nil {
		fmt.Println(err)
		return
	}
	keyring, err := barrier.OpenKeyring(combined, "hf/keyring", stored)
	if err != nil {
		fmt.Println(err) // barrier.ErrWrongKey after a wrong share
		return
	}
	fmt.Println(bytes.Equal(combined, rootKey), keyring.ClusterID())
	// Output: true cluster id
}
