package fakeagent

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rsa"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"
)

// session is an open session: its id, and the key of its messages (nil: they are not encrypted).
type session struct {
	id  string
	key []byte
}

// openSession decrypts the key in the server's answer: with RSA-OAEP and SHA-1, which the server
// uses by default (7.2).
func openSession(a sessionAnswer, key *rsa.PrivateKey) (session, error) {
	s := session{id: a.SessionID}
	if a.EncryptionKey == nil || len(a.EncryptionKey.Value) == 0 {
		return s, nil
	}
	s.key = a.EncryptionKey.Value
	if a.EncryptionKey.Encrypted {
		plain, err := rsa.DecryptOAEP(sha1.New(), nil, key, s.key, nil)
		if err != nil {
			return session{}, fmt.Errorf("cannot decrypt the session's key: %w", err)
		}
		s.key = plain
	}
	return s, nil
}

// decrypt returns a message's body. It is encrypted with AES-256-CBC and PKCS#7 padding if the
// session has a key and the message a vector (7.3).
func (s session) decrypt(m *message) ([]byte, error) {
	if len(s.key) == 0 || len(m.IV) == 0 {
		return withoutBOM([]byte(m.Body)), nil
	}
	body, err := base64.StdEncoding.DecodeString(m.Body)
	if err != nil {
		return nil, fmt.Errorf("cannot decrypt message %d: %w", m.ID, err)
	}
	plain, err := decryptCBC(s.key, m.IV, body)
	if err != nil {
		return nil, fmt.Errorf("cannot decrypt message %d: %w", m.ID, err)
	}
	return withoutBOM(plain), nil
}

func decryptCBC(key, iv, body []byte) ([]byte, error) {
	if len(iv) != aes.BlockSize {
		return nil, fmt.Errorf("the vector has %d bytes", len(iv))
	}
	if len(body) == 0 || len(body)%aes.BlockSize != 0 {
		return nil, fmt.Errorf("the body has %d bytes, no whole blocks", len(body))
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	plain := make([]byte, len(body))
	cipher.NewCBCDecrypter(block, iv).CryptBlocks(plain, body)
	pad := int(plain[len(plain)-1])
	if pad == 0 || pad > aes.BlockSize {
		return nil, errors.New("the padding is wrong")
	}
	for _, b := range plain[len(plain)-pad:] {
		if int(b) != pad {
			return nil, errors.New("the padding is wrong")
		}
	}
	return plain[:len(plain)-pad], nil
}

// The message types that the listener handles (7.3).
const (
	typeJob     = "PipelineAgentJobRequest"
	typeCancel  = "JobCancellation"
	typeRefresh = "AgentRefresh"
)

// refreshBody is an AgentRefresh.
type refreshBody struct {
	AgentID       int    `json:"agentId"`
	TargetVersion string `json:"targetVersion"`
}

// cancelBody is a JobCancellation.
type cancelBody struct {
	JobID   string `json:"jobId"`
	Timeout string `json:"timeout"`
}

// timeout is how long the job may take to end, at least a minute (5.3).
func (c cancelBody) timeout() time.Duration {
	d, err := parseTimeSpan(c.Timeout)
	if err != nil || d < time.Minute {
		return time.Minute
	}
	return d
}

// parseTimeSpan parses .NET's "[d.]hh:mm:ss[.fffffff]" (2.2).
func parseTimeSpan(s string) (time.Duration, error) {
	bad := fmt.Errorf("cannot read time span %q", s)
	parts := strings.Split(s, ":")
	if len(parts) != 3 {
		return 0, bad
	}
	var days time.Duration
	if d, h, ok := strings.Cut(parts[0], "."); ok {
		n, err := time.ParseDuration(d + "h")
		if err != nil {
			return 0, bad
		}
		days, parts[0] = 24*n, h
	}
	d, err := time.ParseDuration(parts[0] + "h" + parts[1] + "m" + parts[2] + "s")
	if err != nil {
		return 0, bad
	}
	return days + d, nil
}
