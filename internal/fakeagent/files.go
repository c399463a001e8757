package fakeagent

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
)

// agentFile has the fields of .agent (3.1) that the fake agent needs. The case of names does not
// matter, as in Newtonsoft's parser.
type agentFile struct {
	AgentID                   int    `json:"agentId"`
	AgentName                 string `json:"agentName"`
	PoolID                    int    `json:"poolId"`
	ServerURL                 string `json:"serverUrl"`
	WorkFolder                string `json:"workFolder"`
	NotificationSocketAddress string `json:"notificationSocketAddress"`
	SkipCapabilitiesScan      bool   `json:"skipCapabilitiesScan"`
}

// credentialsFile is .credentials (3.2).
type credentialsFile struct {
	Scheme string `json:"scheme"`
	Data   struct {
		ClientID         string `json:"clientId"`
		AuthorizationURL string `json:"authorizationUrl"`
		OAuthEndpointURL string `json:"oauthEndpointUrl"`
	} `json:"data"`
}

// errNotConfigured is the error for a missing .agent: exit 2 (3.8).
var errNotConfigured = errors.New("Not configured") //nolint:staticcheck // the text is the real listener's

// readJSON reads a JSON file of the root.
func readJSON(root, name string, v any) error {
	content, err := os.ReadFile(filepath.Join(root, name))
	if err == nil {
		err = json.Unmarshal(withoutBOM(content), v)
	}
	if err != nil {
		return fmt.Errorf("cannot read %s: %w", name, err)
	}
	return nil
}

func readAgentFile(root string) (agentFile, error) {
	var a agentFile
	err := readJSON(root, ".agent", &a)
	if errors.Is(err, fs.ErrNotExist) {
		err = errNotConfigured
	}
	if err != nil {
		return a, err
	}
	switch {
	case a.AgentID <= 0:
		err = errors.New("agentId is missing")
	case a.AgentName == "":
		err = errors.New("agentName is missing")
	case a.PoolID <= 0:
		err = errors.New("poolId is missing")
	case a.WorkFolder == "":
		err = errors.New("workFolder is missing")
	default:
		err = absoluteHTTP("serverUrl", a.ServerURL)
	}
	if err != nil {
		return a, fmt.Errorf("cannot use .agent: %w", err)
	}
	return a, nil
}

func (a agentFile) workDir(root string) string {
	if filepath.IsAbs(a.WorkFolder) {
		return a.WorkFolder
	}
	return filepath.Join(root, a.WorkFolder)
}

func readCredentialsFile(root string) (credentialsFile, error) {
	var c credentialsFile
	err := readJSON(root, ".credentials", &c)
	if err != nil {
		return c, err
	}
	c.Data.OAuthEndpointURL = cmp.Or(c.Data.OAuthEndpointURL, c.Data.AuthorizationURL)
	switch {
	case c.Scheme != "OAuth":
		err = fmt.Errorf("scheme is %q, not OAuth", c.Scheme)
	case c.Data.ClientID == "":
		err = errors.New("clientId is missing")
	default:
		err = errors.Join(absoluteHTTP("authorizationUrl", c.Data.AuthorizationURL),
			absoluteHTTP("oauthEndpointUrl", c.Data.OAuthEndpointURL))
	}
	if err != nil {
		return c, fmt.Errorf("cannot use .credentials: %w", err)
	}
	return c, nil
}

func absoluteHTTP(name, s string) error {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return fmt.Errorf("%s is no absolute http(s) address: %q", name, s)
	}
	return nil
}
