package seal

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

const (
	// ConfigVersion is the format of Config that this version writes.
	ConfigVersion = 1
	// TypeShamir is the one type of seal there is.
	TypeShamir = "shamir"
)

// Config says how the cluster is sealed. It is stored in clear, since a sealed node
// has to read it, so nothing in it is believed beyond asking for the right number of
// shares: the keyring itself is bound to the cluster's id.
type Config struct {
	Version     int    `json:"version"`
	Type        string `json:"type"`
	Shares      int    `json:"shares"`
	Threshold   int    `json:"threshold"`
	ClusterID   string `json:"cluster_id"`
	ClusterName string `json:"cluster_name"`
}

// NewConfig returns the Config of a secret that Generate split.
func NewConfig(shares, threshold int, clusterID, clusterName string) Config {
	return Config{
		Version: ConfigVersion, Type: TypeShamir,
		Shares: shares, Threshold: threshold,
		ClusterID: clusterID, ClusterName: clusterName,
	}
}

// Validate reports everything that is wrong with c.
func (c Config) Validate() error {
	var errs []error
	if c.Version != ConfigVersion {
		errs = append(errs, fmt.Errorf("version is %d, this version of Holdfast knows %d", c.Version, ConfigVersion))
	}
	if c.Type != TypeShamir {
		errs = append(errs, fmt.Errorf("type is %q, the only one known is %q", c.Type, TypeShamir))
	}
	if err := ValidateSplit(c.Shares, c.Threshold); err != nil {
		errs = append(errs, err)
	}
	if c.ClusterID == "" {
		errs = append(errs, errors.New("cluster_id is empty"))
	}
	return errors.Join(errs...)
}

// Encode returns the stored form of a valid Config.
func (c Config) Encode() ([]byte, error) {
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("encode the seal configuration: %w", err)
	}
	return json.Marshal(c)
}

// ParseConfig reads what Encode returned. It refuses what a newer version wrote,
// and any field it does not know.
func ParseConfig(data []byte) (Config, error) {
	var header struct{ Version int }
	if err := json.Unmarshal(data, &header); err != nil {
		return Config{}, fmt.Errorf("parse the seal configuration: %w", err)
	}
	if header.Version > ConfigVersion {
		return Config{}, fmt.Errorf("parse the seal configuration: a newer version of Holdfast wrote it (format %d, this one knows %d); upgrade this node",
			header.Version, ConfigVersion)
	}
	var c Config
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&c); err != nil {
		return Config{}, fmt.Errorf("parse the seal configuration: %w", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return Config{}, errors.New("parse the seal configuration: more data follows it")
	}
	if err := c.Validate(); err != nil {
		return Config{}, fmt.Errorf("the seal configuration is not usable: %w", err)
	}
	return c, nil
}
