package sdk

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/holdfast/holdfast/sdk/storage"
)

// fileRecord is a record in a file, for one process at a time.
type fileRecord struct {
	Version storage.Version
	Value   []byte
}

func readRecord(path string) (r fileRecord, err error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return r, nil
	}
	if err != nil {
		return r, err
	}
	return r, json.Unmarshal(text, &r)
}

func (r fileRecord) write(path string) error {
	text, err := json.Marshal(r)
	if err != nil {
		return err
	}
	if err := os.WriteFile(path+".new", text, 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// commitFile is Commit on the record in the file.
func commitFile(path string, g storage.Guard) (storage.Version, error) {
	r, err := readRecord(path)
	switch {
	case err != nil:
		return "", err
	case r.Version != g.Version:
		return "", storage.ErrConflict
	}
	version := storage.Version(fmt.Sprintf("%s+", r.Version))
	return version, fileRecord{Version: version, Value: g.Value}.write(path)
}
