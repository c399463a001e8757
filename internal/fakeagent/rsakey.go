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

// minKeyBits is the minimum key length of VssSigningCredentials (3.3).
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

// rsaMembers are the members of .credentials_rsaparams, big-endian (3.3).
type rsaMembers map[string][]byte

// parseRSAKey parses the key like .NET: the case of names matters (the type is ISerializable),
// all eight members are required, and their widths are fixed (ImportParameters).
func parseRSAKey(content []byte) (*rsa.PrivateKey, error) {
	var raw map[string]json.RawMessage // a struct would ignore the case of names
	if err := json.Unmarshal(withoutBOM(content), &raw); err != nil {
		return nil, err
	}
	m := rsaMembers{}
	for _, name := range []string{"modulus", "exponent", "d", "p", "q", "dp", "dq", "inverseQ"} {
		var value []byte
		if raw[name] == nil {
			return nil, fmt.Errorf("member %s is missing", name)
		}
		if err := json.Unmarshal(raw[name], &value); err != nil {
			return nil, fmt.Errorf("member %s is not base64: %w", name, err)
		}
		m[name] = value
	}
	if err := m.checkWidths(); err != nil {
		return nil, err
	}
	return m.key()
}

// checkWidths makes the checks of ImportParameters: d is as wide as the modulus, and the other
// five are half as wide, with leading zeros.
func (m rsaMembers) checkWidths() error {
	n := len(m["modulus"])
	switch {
	case len(m["exponent"]) == 0 || len(m["exponent"]) > 4:
		return fmt.Errorf("member exponent has %d bytes", len(m["exponent"]))
	case n == 0 || m["modulus"][0] == 0:
		return errors.New("member modulus is empty or padded")
	case n > 2048:
		return fmt.Errorf("member modulus has %d bytes", n)
	}
	half := (n + 1) / 2
	for name, want := range map[string]int{"d": n, "p": half, "q": half, "dp": half, "dq": half, "inverseQ": half} {
		if len(m[name]) != want {
			return fmt.Errorf("member %s has %d bytes, not the fixed %d", name, len(m[name]), want)
		}
	}
	return nil
}

func (m rsaMembers) key() (*rsa.PrivateKey, error) {
	number := func(name string) *big.Int { return new(big.Int).SetBytes(m[name]) }
	key := &rsa.PrivateKey{
		PublicKey: rsa.PublicKey{N: number("modulus"), E: int(number("exponent").Int64())},
		D:         number("d"),
		Primes:    []*big.Int{number("p"), number("q")},
	}
	if bits := key.N.BitLen(); bits < minKeyBits {
		return nil, fmt.Errorf("the key has %d bits, at least %d are needed", bits, minKeyBits)
	}
	if err := key.Validate(); err != nil {
		return nil, fmt.Errorf("the key is not consistent: %w", err)
	}
	key.Precompute()
	for name, want := range map[string]*big.Int{"dp": key.Precomputed.Dp, "dq": key.Precomputed.Dq, "inverseQ": key.Precomputed.Qinv} {
		if !bytes.Equal(m[name], want.FillBytes(make([]byte, len(m[name])))) {
			return nil, fmt.Errorf("the key is not consistent: member %s does not follow from the others", name)
		}
	}
	return key, nil
}
