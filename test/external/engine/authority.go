package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"time"
)

// authority is the CA that the base images trust. It stays in the cache directory as
// long as they do.
type authority struct {
	file        string // its certificate
	certificate *x509.Certificate
	key         crypto.Signer
}

// loadAuthority reads the CA from a directory, and makes one if there is none.
func loadAuthority(dir string) (*authority, error) {
	a := &authority{file: filepath.Join(dir, "ca.crt")}
	keyFile := filepath.Join(dir, "ca.key")
	if pair, err := tls.LoadX509KeyPair(a.file, keyFile); err == nil {
		a.certificate, a.key = pair.Leaf, pair.PrivateKey.(crypto.Signer)
		return a, nil
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "azptend engine test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(10, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	certificate, key, err := a.sign(template)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, err
	}
	return a, errors.Join(
		os.MkdirAll(dir, 0o700),
		os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}), 0o600),
		os.WriteFile(a.file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate}), 0o644))
}

// server makes a certificate for hosts.
func (a *authority) server(hosts ...string) (tls.Certificate, error) {
	certificate, key, err := a.sign(&x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: hosts[0]}, DNSNames: hosts,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(0, 0, 2),
	})
	return tls.Certificate{Certificate: [][]byte{certificate}, PrivateKey: key}, err
}

// sign makes a key and its certificate. An authority without a key signs itself.
func (a *authority) sign(template *x509.Certificate) ([]byte, *ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	if a.key == nil {
		a.certificate, a.key = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, &key.PublicKey, a.key)
	return der, key, err
}
