package fakeagent

import (
	"bytes"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
)

// minKeyBits is VssSigningCredentials' least key (3.3).
const minKeyBits = 2048

func readRSAKey(root string) (*rsa.PrivateKey, error) {
	content, err := os.ReadFile(filepath.Join(root, ".credentials_rsaparams"))
	if err != nil {
		return nil, fmt.Errorf("cannot read .credentials_rsaparams: %w", err)
	}
	key, err := parseRSAKey(content)
	if err != nil {
		return nil, fmt.Errorf("cannot use .credentials_rsaparams: %w", err)
	}
	return key, nil
}

// rsaParams are the eight members of .credentials_rsaparams, big-endian (3.3).
type rsaParams struct{ modulus, exponent, d, p, q, dp, dq, inverseQ []byte }

// parseRSAKey reads the key as .NET would: the names are literal, case included
// (the type is ISerializable), all eight are required, and ImportParameters
// takes fixed widths only.
func parseRSAKey(content []byte) (*rsa.PrivateKey, error) {
	var members map[string]json.RawMessage // a struct would match names in any case
	if err := json.Unmarshal(withoutBOM(content), &members); err != nil {
		return nil, err
	}
	var r rsaParams
	for name, to := range map[string]*[]byte{
		"modulus": &r.modulus, "exponent": &r.exponent, "d": &r.d, "p": &r.p,
		"q": &r.q, "dp": &r.dp, "dq": &r.dq, "inverseQ": &r.inverseQ,
	} {
		raw, ok := members[name]
		if !ok {
			return nil, fmt.Errorf("member %s is missing", name)
		}
		if err := json.Unmarshal(raw, to); err != nil {
			return nil, fmt.Errorf("member %s is not base64: %w", name, err)
		}
	}
	if err := r.checkWidths(); err != nil {
		return nil, err
	}
	return r.key()
}

// checkWidths is ImportParameters' own check: d as wide as the modulus, the
// other five half as wide, zeros on the left kept.
func (r rsaParams) checkWidths() error {
	if len(r.exponent) == 0 || len(r.exponent) > 4 {
		return fmt.Errorf("member exponent has %d bytes", len(r.exponent))
	}
	n := len(r.modulus)
	if n == 0 || r.modulus[0] == 0 {
		return errors.New("member modulus is empty or padded")
	}
	if n > 2048 {
		return fmt.Errorf("member modulus has %d bytes", n)
	}
	half := (n + 1) / 2
	for _, m := range []struct {
		name  string
		value []byte
		want  int
	}{{"d", r.d, n}, {"p", r.p, half}, {"q", r.q, half}, {"dp", r.dp, half}, {"dq", r.dq, half}, {"inverseQ", r.inverseQ, half}} {
		if len(m.value) != m.want {
			return fmt.Errorf("member %s has %d bytes, not the fixed %d", m.name, len(m.value), m.want)
		}
	}
	return nil
}

func (r rsaParams) key() (*rsa.PrivateKey, error) {
	number := func(b []byte) *big.Int { return new(big.Int).SetBytes(b) }
	key := &rsa.PrivateKey{
		PublicKey: rsa.PublicKey{N: number(r.modulus), E: int(number(r.exponent).Int64())},
		D:         number(r.d),
		Primes:    []*big.Int{number(r.p), number(r.q)},
	}
	if bits := key.N.BitLen(); bits < minKeyBits {
		return nil, fmt.Errorf("the key has %d bits, at least %d are needed", bits, minKeyBits)
	}
	if err := key.Validate(); err != nil {
		return nil, fmt.Errorf("the key is not consistent: %w", err)
	}
	key.Precompute()
	half := (len(r.modulus) + 1) / 2
	for name, pair := range map[string][2][]byte{
		"dp":       {r.dp, key.Precomputed.Dp.FillBytes(make([]byte, half))},
		"dq":       {r.dq, key.Precomputed.Dq.FillBytes(make([]byte, half))},
		"inverseQ": {r.inverseQ, key.Precomputed.Qinv.FillBytes(make([]byte, half))},
	} {
		if !bytes.Equal(pair[0], pair[1]) {
			return nil, fmt.Errorf("the key is not consistent: member %s does not follow from the others", name)
		}
	}
	return key, nil
}
