package seal

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/cloudflare/circl/group"
	"github.com/cloudflare/circl/secretsharing"
)

// encodeShare returns the share of that number: the number, then the scalar.
func encodeShare(number int, value group.Scalar) ([]byte, error) {
	scalar, err := value.MarshalBinary()
	if err != nil {
		return nil, fmt.Errorf("encode key share %d: %w", number, err)
	}
	defer clear(scalar)
	return append([]byte{byte(number)}, scalar...), nil
}

// decodeShare reads one share. The library would panic on what is refused here, or
// take it for another share.
func decodeShare(share []byte) (secretsharing.Share, error) {
	if len(share) != ShareSize {
		return secretsharing.Share{}, fmt.Errorf("%w: %d bytes long, not %d", ErrBadShare, len(share), ShareSize)
	}
	if share[0] == 0 {
		return secretsharing.Share{}, fmt.Errorf("%w: it has number 0, the first is 1", ErrBadShare)
	}
	point := secretsharing.Share{
		ID:    group.Ristretto255.NewScalar().SetUint64(uint64(share[0])),
		Value: group.Ristretto255.NewScalar(),
	}
	if err := point.Value.UnmarshalBinary(share[1:]); err != nil {
		return secretsharing.Share{}, fmt.Errorf("%w: not a canonical scalar", ErrBadShare)
	}
	return point, nil
}

// decodeShares reads shares of different numbers. What it could read before an error
// is returned with it, to be zeroed.
func decodeShares(shares [][]byte) ([]secretsharing.Share, error) {
	var seen [MaxShares + 1]bool
	points := make([]secretsharing.Share, 0, len(shares))
	for _, share := range shares {
		point, err := decodeShare(share)
		if err != nil {
			return points, err
		}
		points = append(points, point)
		if seen[share[0]] {
			return points, fmt.Errorf("%w: two shares have number %d", ErrBadShare, share[0])
		}
		seen[share[0]] = true
	}
	return points, nil
}

// checkShare reports why share can not be one.
func checkShare(share []byte) error {
	point, err := decodeShare(share)
	if err != nil {
		return err
	}
	zero([]secretsharing.Share{point})
	return nil
}

func zero(points []secretsharing.Share) {
	for _, point := range points {
		point.Value.SetUint64(0)
	}
}

// ParseShare reads a share as an operator gives it: in hex, or in standard base64.
// White space around it does not matter. Everything else is an ErrBadShare, whose
// text does not repeat the share.
func ParseShare(text string) ([]byte, error) {
	text = strings.TrimSpace(text)
	var share []byte
	var err error
	switch len(text) {
	case hex.EncodedLen(ShareSize):
		share, err = hex.DecodeString(text)
	case base64.StdEncoding.EncodedLen(ShareSize):
		share, err = base64.StdEncoding.Strict().DecodeString(text)
	default:
		return nil, fmt.Errorf("%w: %d characters long; a share has %d in hex, %d in base64", ErrBadShare,
			len(text), hex.EncodedLen(ShareSize), base64.StdEncoding.EncodedLen(ShareSize))
	}
	if err != nil {
		return nil, fmt.Errorf("%w: neither hex nor base64", ErrBadShare)
	}
	if err := checkShare(share); err != nil {
		return nil, err
	}
	return share, nil
}
