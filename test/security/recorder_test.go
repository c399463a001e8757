package security

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
)

// recorder is in front of the emulator and keeps what the emulator's own records leave out
// on purpose: tokens, and all requests.
type recorder struct {
	http.Handler

	mu             sync.Mutex
	identityTokens []string // tokens of the identity endpoint and of Entra ID
	agentTokens    []string // tokens that agents got with their keys
	sent           bytes.Buffer
}

func (r *recorder) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	switch {
	case strings.HasPrefix(req.URL.Path, "/msi/"), strings.HasSuffix(req.URL.Path, "/oauth2/v2.0/token"):
		r.keepToken(w, req, &r.identityTokens)
	case strings.Contains(req.URL.Path, "/oauth2/token"):
		r.keepToken(w, req, &r.agentTokens)
	default:
		r.keepRequest(req)
		r.Handler.ServeHTTP(w, req)
	}
}

func (r *recorder) keepToken(w http.ResponseWriter, req *http.Request, in *[]string) {
	copied := &copier{ResponseWriter: w}
	r.Handler.ServeHTTP(copied, req)
	var answer struct {
		Token string `json:"access_token"`
	}
	if json.Unmarshal(copied.body.Bytes(), &answer) == nil && answer.Token != "" {
		r.mu.Lock()
		defer r.mu.Unlock()
		*in = append(*in, answer.Token)
	}
}

type copier struct {
	http.ResponseWriter
	body bytes.Buffer
}

func (c *copier) Write(b []byte) (int, error) {
	c.body.Write(b)
	return c.ResponseWriter.Write(b)
}

// keepRequest keeps a request, without the credential that azptend itself sends.
func (r *recorder) keepRequest(req *http.Request) {
	body, _ := io.ReadAll(req.Body)
	req.Body = io.NopCloser(bytes.NewReader(body))
	headers := req.Header.Clone()
	if strings.HasPrefix(req.UserAgent(), "azptend/") {
		headers.Del("Authorization")
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	fmt.Fprintf(&r.sent, "%s %s\n%v\n%s\n", req.Method, req.URL, headers, body)
}

// tokens returns the tokens, and all requests.
func (r *recorder) tokens() (managing, agents []string, sent []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append(managing, r.identityTokens...), append(agents, r.agentTokens...), bytes.Clone(r.sent.Bytes())
}
