package agentdir

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
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

	"github.com/azptend/azptend/internal/safefile"
)

// The files of agent-protocol.md 3.1 to 3.3.
const (
	settingsFile    = ".agent"
	credentialsFile = ".credentials"
	keyFile         = ".credentials_rsaparams"
)

// caBundleFile is ours; the agent learns of it by a variable. It is none of
// the temporary files, which go when a listener starts.
const caBundleFile = ".azptend.pem"

// maxFileSize is the limit for a file that an agent is configured by. The agent's
// own are of one or two kB.
const maxFileSize = 1 << 20

// Registration is what the listener has to know of its own agent.
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

// GenerateKey makes the key by which the listener logs on. 2048 bits is what the
// agent itself makes, and the least it accepts (agent-protocol.md 3.3).
func GenerateKey() (*rsa.PrivateKey, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, fmt.Errorf("cannot make the agent's key: %w", err)
	}
	return key, nil
}

// PublicKey returns a key's public half as the server wants it: big-endian
// bytes.
func PublicKey(key *rsa.PrivateKey) (exponent, modulus []byte) {
	return big.NewInt(int64(key.E)).Bytes(), key.N.FillBytes(make([]byte, key.Size()))
}

// WriteFiles writes the three files, each whole or not at all, readable for
// their owner alone: whoever has them can impersonate the agent.
func (f Dir) WriteFiles(r Registration, key *rsa.PrivateKey) error {
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
	return f.writeAgentFiles(keyParameters(key), credentials, settings)
}

func (f Dir) writeAgentFiles(key, credentials, settings any) error {
	// .agent last: its presence is what "configured" means.
	for _, file := range []struct {
		name    string
		content any
	}{{keyFile, key}, {credentialsFile, credentials}, {settingsFile, settings}} {
		if err := f.writeJSON(file.name, file.content); err != nil {
			return err
		}
	}
	return f.syncDir()
}

// syncDir has the folder's names on the disk before anything is said or done
// that counts on them: after a machine lost its power, .agent is what tells the
// next start whom to remove. A file system that cannot, as some of networks, is
// no reason not to run.
func (f Dir) syncDir() error {
	d, err := safefile.OpenDir(f.Root)
	if err != nil {
		return f.dirError("cannot open it: "+withoutPath(err), writeHint(err), err)
	}
	defer d.Close()
	if err := d.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) && !errors.Is(err, errors.ErrUnsupported) {
		return f.dirError("cannot write to it: "+withoutPath(err), writeHint(err), err)
	}
	return nil
}

// HandoffFiles are the files of an agent that somebody else has registered, as they
// were found.
type HandoffFiles struct {
	Dir          Dir // where they are
	Registration Registration
	settings     map[string]any
	credentials  json.RawMessage
	key          json.RawMessage
}

// ReadHandoff reads the files that `azptend register` has written to this folder. The
// error is an *UnfitError.
func (f Dir) ReadHandoff() (HandoffFiles, error) {
	const hint = "azptend register --out writes them: did it run, with the same folder mounted, and may this user read them?"
	g := HandoffFiles{Dir: f}
	for _, file := range []struct {
		name string
		into any
	}{{settingsFile, &g.settings}, {credentialsFile, &g.credentials}, {keyFile, &g.key}} {
		b, err := safefile.Dir(f.Root).ReadFile(file.name, maxFileSize)
		if err != nil {
			return HandoffFiles{}, f.dirError(fmt.Sprintf("there is no registered agent in it: cannot read %s: %s", file.name, withoutPath(err)), hint, err)
		}
		b = bytes.TrimPrefix(b, []byte("\xef\xbb\xbf"))
		if file.name == settingsFile {
			g.Registration, _ = parseSettings(b)
		}
		if err := json.Unmarshal(b, file.into); err != nil {
			return HandoffFiles{}, f.dirError(file.name+" in it is not what an agent's file looks like", hint, err)
		}
	}
	if g.Registration.AgentID == 0 {
		return HandoffFiles{}, f.dirError(settingsFile+" in it names no agent", hint, nil)
	}
	return g, nil
}

// WriteHandoff is WriteFiles for an agent that somebody else has registered: as it
// was written, but for where its listener is to connect.
func (f Dir) WriteHandoff(g HandoffFiles, notifications string) error {
	settings := maps.Clone(g.settings)
	settings["notificationSocketAddress"] = notifications
	return f.writeAgentFiles(g.key, g.credentials, settings)
}

// keyParameters is the .NET form of a private key. The byte strings have fixed
// widths, or the import rejects them.
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

func (f Dir) writeJSON(name string, content any) error {
	b, err := json.MarshalIndent(content, "", "  ")
	if err != nil {
		return fmt.Errorf("cannot write %s: %w", name, err)
	}
	return f.writeFile(name, append(b, '\n'), 0o600)
}

// WriteCABundle puts certificates (PEM) into a file of this folder, for an
// agent that reads them from one, and returns its path. Everybody may read it.
func (f Dir) WriteCABundle(certificates []byte) (string, error) {
	return filepath.Join(f.Root, caBundleFile), f.writeFile(caBundleFile, certificates, 0o644)
}

// writeFile makes a file whole or not at all: its content is on the disk before its
// name is, so that a name never stands for an empty file.
func (f Dir) writeFile(name string, content []byte, mode fs.FileMode) error {
	path := filepath.Join(f.Root, name)
	if info, err := os.Lstat(path); err == nil && info.IsDir() { // a job's, and in the way
		_ = safefile.RemoveAll(path)
	}
	temp, err := os.CreateTemp(f.Root, tempPattern) // 0600
	if err != nil {
		return f.dirError(fmt.Sprintf("cannot write %s: %s", name, withoutPath(err)), writeHint(err), err)
	}
	_, err = temp.Write(content)
	err = errors.Join(err, temp.Chmod(mode), temp.Sync(), temp.Close())
	if err == nil {
		err = os.Rename(temp.Name(), path)
	}
	if err != nil {
		_ = os.Remove(temp.Name())
		return f.dirError(fmt.Sprintf("cannot write %s: %s", name, withoutPath(err)), writeHint(err), err)
	}
	return nil
}

// RemoveFiles takes the files away again. Ones that are not there are no error.
func (f Dir) RemoveFiles() error {
	var errs []error
	for _, name := range []string{settingsFile, credentialsFile, keyFile} {
		errs = append(errs, safefile.RemoveAll(filepath.Join(f.Root, name))) // a job may have put a directory there
	}
	return errors.Join(errs...)
}

// ServerURL is the address the listener uses: the one the server told if it is
// on the host that was asked, else that host with the told path
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

// OAuthEndpointURL is where the listener gets its tokens: the authorization URL
// itself in the cloud; on a server of one's own, whose idea of its address may
// not be reachable, the same path on the host that was asked.
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
