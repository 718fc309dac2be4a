package cluster

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/url"
	"strings"
	"time"
)

const (
	caVersion = 1
	caName    = "holdfast cluster CA"
	// nodeName is the one DNS name that every node's certificate carries. Nodes move
	// between addresses, so a certificate names the cluster's CA and the instance, no host.
	nodeName = "node.holdfast.internal"
)

// No wall clock is trusted, a certificate's dates included: a node whose clock is decades
// off must still join. So certificates are valid for ever, and both ends verify them
// as of verifyAt, whatever their clocks say. What ends a certificate's life is its key,
// which never leaves the process that made it, and a new CA.
var (
	validFrom  = time.Date(1970, 1, 1, 0, 0, 0, 0, time.UTC)
	validUntil = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC) // RFC 5280's "no expiry"
	verifyAt   = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
)

// CA is a cluster's certificate authority. Who holds it is a node of the cluster, so it
// exists in the memory of unsealed nodes and encrypted in the store. It is immutable
// and safe for concurrent use.
type CA struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// caRecord is a CA as the store keeps it.
type caRecord struct {
	Version     int    `json:"version"`
	Certificate []byte `json:"certificate"` // DER
	Key         []byte `json:"key"`         // PKCS #8, DER
}

// NewCA makes the CA of a new cluster, with an ECDSA P-256 key.
func NewCA() (*CA, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make cluster CA key: %w", err)
	}
	template, err := certificateTemplate(caName)
	if err != nil {
		return nil, err
	}
	template.IsCA = true
	template.MaxPathLenZero = true
	template.KeyUsage = x509.KeyUsageCertSign
	cert, err := sign(template, template, key, key)
	if err != nil {
		return nil, fmt.Errorf("sign cluster CA certificate: %w", err)
	}
	return &CA{cert: cert, key: key}, nil
}

// Marshal returns the CA with its private key, for ParseCA. The caller encrypts it.
func (ca *CA) Marshal() ([]byte, error) {
	key, err := x509.MarshalPKCS8PrivateKey(ca.key)
	if err != nil {
		return nil, fmt.Errorf("encode cluster CA key: %w", err)
	}
	raw, err := json.Marshal(caRecord{Version: caVersion, Certificate: ca.cert.Raw, Key: key})
	if err != nil {
		return nil, fmt.Errorf("encode cluster CA: %w", err)
	}
	return raw, nil
}

// ParseCA reads what Marshal returned. It fails unless key and certificate belong together.
func ParseCA(raw []byte) (*CA, error) {
	record, err := decodeCARecord(raw)
	if err != nil {
		return nil, fmt.Errorf("decode cluster CA: %w", err)
	}
	cert, err := x509.ParseCertificate(record.Certificate)
	if err != nil {
		return nil, fmt.Errorf("parse cluster CA certificate: %w", err)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(record.Key)
	if err != nil {
		return nil, errors.New("parse cluster CA key: not a PKCS #8 key") // the parser's words could quote the key
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("parse cluster CA key: it is a %T, want ECDSA", parsed)
	}
	if !key.PublicKey.Equal(cert.PublicKey) {
		return nil, errors.New("parse cluster CA: key and certificate do not belong together")
	}
	if !cert.IsCA || cert.CheckSignatureFrom(cert) != nil {
		return nil, errors.New("parse cluster CA: the certificate is not a self-signed CA's")
	}
	return &CA{cert: cert, key: key}, nil
}

func decodeCARecord(raw []byte) (caRecord, error) {
	// The version first: a record of a newer one may have fields that this one does not know.
	var versioned struct {
		Version int `json:"version"`
	}
	if err := json.Unmarshal(raw, &versioned); err != nil {
		return caRecord{}, errors.New("not a JSON object") // the decoder's words could quote the key
	}
	if versioned.Version != caVersion {
		return caRecord{}, fmt.Errorf("version %d is not known, this release writes %d: run a newer one", versioned.Version, caVersion)
	}
	var record caRecord
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&record); err != nil {
		return caRecord{}, errors.New("not a version 1 record")
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return caRecord{}, errors.New("data after the record")
	}
	return record, nil
}

// Issue makes a key and a certificate for the node called instanceID: 1 to 64 letters,
// digits, dashes and underscores, new with every unseal. Each unsealed node calls it
// for itself, and the key stays in its memory.
func (ca *CA) Issue(instanceID string) (tls.Certificate, error) {
	if err := checkInstanceID(instanceID); err != nil {
		return tls.Certificate{}, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("make key of node %s: %w", instanceID, err)
	}
	template, err := certificateTemplate(instanceID)
	if err != nil {
		return tls.Certificate{}, err
	}
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	template.DNSNames = []string{nodeName}
	template.URIs = []*url.URL{instanceURI(instanceID)}
	cert, err := sign(template, ca.cert, key, ca.key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("sign certificate of node %s: %w", instanceID, err)
	}
	return tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key, Leaf: cert}, nil
}

func certificateTemplate(commonName string) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("draw serial number: %w", err)
	}
	return &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: commonName},
		NotBefore:             validFrom,
		NotAfter:              validUntil,
		BasicConstraintsValid: true,
	}, nil
}

func sign(template, parent *x509.Certificate, key, parentKey *ecdsa.PrivateKey) (*x509.Certificate, error) {
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, parentKey)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

// An instance id is in a certificate as holdfast://instance/ID.
func instanceURI(instanceID string) *url.URL {
	return &url.URL{Scheme: "holdfast", Host: "instance", Path: "/" + instanceID}
}

// certificateInstance returns the instance id that a verified certificate was issued to.
func certificateInstance(cert *x509.Certificate) (string, error) {
	if len(cert.URIs) != 1 {
		return "", fmt.Errorf("certificate has %d URIs, want the instance's", len(cert.URIs))
	}
	id := strings.TrimPrefix(cert.URIs[0].Path, "/")
	if err := checkInstanceID(id); err != nil {
		return "", fmt.Errorf("read certificate: %w", err)
	}
	if got, want := cert.URIs[0].String(), instanceURI(id).String(); got != want {
		return "", fmt.Errorf("certificate has the URI %q, want %q", got, want)
	}
	return id, nil
}
