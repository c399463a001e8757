package agentdir

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/big"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/azptend/azptend/internal/safefile"
)

// The files of agent-protocol.md 3.1 to 3.3.
const (
	settingsFile    = ".agent"
	credentialsFile = ".credentials"
	keyFile         = ".credentials_rsaparams"
)

const (
	// caBundleFile has the certificates that the agent trusts; a variable names it. It is not
	// a temporary file, because those are removed when a listener starts.
	caBundleFile = ".azptend.pem"
	// maxFileSize is the maximum size of an agent's configuration file. The agent's own have
	// one or two kB.
	maxFileSize = 1 << 20
)

// Registration is the agent's data that the listener needs.
type Registration struct {
	AgentID          int
	AgentName        string
	PoolID           int
	PoolName         string
	ServerURL        string
	WorkFolder       string
	ClientID         string
	AuthorizationURL string
	OAuthEndpointURL string
	Notifications    string // "127.0.0.1:port"
}

// GenerateKey generates the key that the listener logs on with. Microsoft's agent uses 2048
// bits, and accepts no shorter key (agent-protocol.md 3.3).
func GenerateKey() (*rsa.PrivateKey, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, fmt.Errorf("cannot create the agent's key: %w", err)
	}
	return key, nil
}

// PublicKey returns a public key in the server's format: big-endian bytes.
func PublicKey(key *rsa.PrivateKey) (exponent, modulus []byte) {
	return big.NewInt(int64(key.E)).Bytes(), key.N.FillBytes(make([]byte, key.Size()))
}

// WriteFiles writes the three files, each atomically. Only their owner can read them, because
// with them one can impersonate the agent.
func (d Dir) WriteFiles(r Registration, key *rsa.PrivateKey) error {
	settings := map[string]any{
		"acceptTeeEula": true,
		"agentId":       r.AgentID,
		"agentName":     r.AgentName,
		"poolId":        r.PoolID,
		"poolName":      r.PoolName,
		"serverUrl":     r.ServerURL,
		"workFolder":    r.WorkFolder,
	}
	if r.Notifications != "" {
		settings["notificationSocketAddress"] = r.Notifications
	}
	credentials := map[string]any{
		"scheme": "OAuth",
		"data": map[string]string{
			"clientId":         r.ClientID,
			"authorizationUrl": r.AuthorizationURL,
			"oauthEndpointUrl": r.OAuthEndpointURL,
		},
	}
	return d.writeAgentFiles(keyParameters(key), credentials, settings)
}

func (d Dir) writeAgentFiles(key, credentials, settings any) error {
	// Write .agent last: if it exists, the agent counts as configured.
	for _, file := range []struct {
		name    string
		content any
	}{{keyFile, key}, {credentialsFile, credentials}, {settingsFile, settings}} {
		if err := d.writeJSON(file.name, file.content); err != nil {
			return err
		}
	}
	return d.syncDir()
}

// syncDir writes the directory's entries to the disk: after a power failure, .agent tells the
// next start which agent to remove. It is no error if the file system does not support that,
// as some network file systems.
func (d Dir) syncDir() error {
	dir, err := safefile.OpenDir(d.Root)
	if err != nil {
		return d.dirError("cannot open it: "+withoutPath(err), writeHint(err), err)
	}
	defer dir.Close()
	if err := dir.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) && !errors.Is(err, errors.ErrUnsupported) {
		return d.dirError("cannot write to it: "+withoutPath(err), writeHint(err), err)
	}
	return nil
}

// HandoffFiles are the files of an agent that another azptend registered.
type HandoffFiles struct {
	Dir          Dir
	Registration Registration
	settings     map[string]any
	credentials  json.RawMessage
	key          json.RawMessage
}

// ReadHandoff reads the files that `azptend register` wrote to this directory. The error is a
// *DirError.
func (d Dir) ReadHandoff() (HandoffFiles, error) {
	const hint = "check that azptend register --out wrote into this directory, and that this user can read its files"
	h := HandoffFiles{Dir: d}
	for _, file := range []struct {
		name string
		into any
	}{{settingsFile, &h.settings}, {credentialsFile, &h.credentials}, {keyFile, &h.key}} {
		b, err := safefile.Dir(d.Root).ReadFile(file.name, maxFileSize)
		if err != nil {
			return HandoffFiles{}, d.dirError(fmt.Sprintf("it holds no registered agent: cannot read %s: %s", file.name, withoutPath(err)), hint, err)
		}
		b = bytes.TrimPrefix(b, []byte("\xef\xbb\xbf"))
		if file.name == settingsFile {
			h.Registration, _ = parseSettings(b)
		}
		if err := json.Unmarshal(b, file.into); err != nil {
			return HandoffFiles{}, d.dirError(file.name+" in it is not a valid agent file", hint, err)
		}
	}
	if h.Registration.AgentID == 0 {
		return HandoffFiles{}, d.dirError(settingsFile+" in it does not name an agent", hint, nil)
	}
	return h, nil
}

// WriteHandoff is WriteFiles for an agent that another azptend registered. It only changes
// the address that the listener connects to.
func (d Dir) WriteHandoff(h HandoffFiles, notifications string) error {
	settings := maps.Clone(h.settings)
	settings["notificationSocketAddress"] = notifications
	return d.writeAgentFiles(h.key, h.credentials, settings)
}

// keyParameters is a private key in .NET's format. .NET requires these lengths of the byte
// strings.
func keyParameters(key *rsa.PrivateKey) map[string]any {
	size, half := key.Size(), (key.Size()+1)/2
	fixed := func(n *big.Int, width int) []byte { return n.FillBytes(make([]byte, width)) }
	exponent, modulus := PublicKey(key)
	return map[string]any{
		"ContainerName": "",
		"UseCng":        false,
		"d":             fixed(key.D, size),
		"dp":            fixed(key.Precomputed.Dp, half),
		"dq":            fixed(key.Precomputed.Dq, half),
		"exponent":      exponent,
		"inverseQ":      fixed(key.Precomputed.Qinv, half),
		"modulus":       modulus,
		"p":             fixed(key.Primes[0], half),
		"q":             fixed(key.Primes[1], half),
	}
}

func (d Dir) writeJSON(name string, content any) error {
	b, err := json.MarshalIndent(content, "", "  ")
	if err != nil {
		return fmt.Errorf("cannot write %s: %w", name, err)
	}
	return d.writeFile(name, append(b, '\n'), 0o600)
}

// WriteCABundle writes certificates (PEM) to a file for the agent, and returns its path. All
// users can read it.
func (d Dir) WriteCABundle(certificates []byte) (string, error) {
	return filepath.Join(d.Root, caBundleFile), d.writeFile(caBundleFile, certificates, 0o644)
}

// writeFile writes a file atomically: its content is on the disk before the file gets its
// name.
func (d Dir) writeFile(name string, content []byte, mode fs.FileMode) error {
	path := filepath.Join(d.Root, name)
	if info, err := os.Lstat(path); err == nil && info.IsDir() { // a job created it
		_ = safefile.RemoveAll(path)
	}
	temp, err := os.CreateTemp(d.Root, tempPattern) // 0600
	if err != nil {
		return d.dirError(fmt.Sprintf("cannot write %s: %s", name, withoutPath(err)), writeHint(err), err)
	}
	_, err = temp.Write(content)
	err = errors.Join(err, temp.Chmod(mode), temp.Sync(), temp.Close())
	if err == nil {
		err = os.Rename(temp.Name(), path)
	}
	if err != nil {
		_ = os.Remove(temp.Name())
		return d.dirError(fmt.Sprintf("cannot write %s: %s", name, withoutPath(err)), writeHint(err), err)
	}
	return nil
}

// RemoveFiles removes the three files, if they exist.
func (d Dir) RemoveFiles() error {
	var errs []error
	for _, name := range []string{settingsFile, credentialsFile, keyFile} {
		errs = append(errs, safefile.RemoveAll(filepath.Join(d.Root, name))) // a job may have put a directory there
	}
	return errors.Join(errs...)
}

// ServerURL is the address that the listener uses: that in the server's answer if it has the
// requested host, otherwise the requested host with the path of the answer
// (agent-protocol.md 2.4).
func ServerURL(requested, answered string) string {
	a, err := url.Parse(requested)
	if err != nil || answered == "" {
		return requested
	}
	t, err := url.Parse(answered)
	if err != nil {
		return requested
	}
	if sameHost(a, t) {
		return answered
	}
	moved := *a
	moved.Path = t.Path
	return moved.String()
}

// OAuthEndpointURL is where the listener gets its tokens. In the cloud it is the
// authorization URL. For an Azure DevOps Server it is the same path on the requested host,
// because the address in the answer may not be reachable.
func OAuthEndpointURL(server, authorization string) string {
	s, err := url.Parse(server)
	if err != nil {
		return authorization
	}
	a, err := url.Parse(authorization)
	if err != nil || isCloud(s) || sameHost(s, a) {
		return authorization
	}
	moved := *a
	moved.Scheme, moved.Host = s.Scheme, s.Host
	return moved.String()
}

func sameHost(a, b *url.URL) bool {
	return strings.EqualFold(a.Scheme, b.Scheme) && strings.EqualFold(a.Host, b.Host)
}

func isCloud(u *url.URL) bool {
	host := strings.ToLower(u.Hostname())
	return host == "dev.azure.com" || strings.HasSuffix(host, ".visualstudio.com")
}

// Assertion returns a client assertion, signed with the agent's key, for the agents' token
// endpoint (agent-protocol.md 7.1). Like that of Microsoft's listener, it has no iat and no
// kid.
func Assertion(key *rsa.PrivateKey, client, audience string, now time.Time, life time.Duration) (string, error) {
	payload, err := json.Marshal(map[string]any{
		"sub": client, "iss": client, "aud": audience, "jti": NewGUID(), "nbf": now.Unix(), "exp": now.Add(life).Unix(),
	})
	if err != nil {
		return "", fmt.Errorf("cannot make a client assertion: %w", err)
	}
	signed := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"RS256","typ":"JWT"}`)) + "." + base64.RawURLEncoding.EncodeToString(payload)
	digest := sha256.Sum256([]byte(signed))
	signature, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, digest[:])
	if err != nil {
		return "", fmt.Errorf("cannot sign a client assertion: %w", err)
	}
	return signed + "." + base64.RawURLEncoding.EncodeToString(signature), nil
}

// NewGUID returns a random version 4 GUID.
func NewGUID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
