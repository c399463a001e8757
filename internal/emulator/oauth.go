package emulator

import (
	"cmp"
	"fmt"
	"net/http"
	"net/url"
	"time"
)

const assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

// exchangeToken is the agents' token endpoint: a client assertion signed with the registered key buys an access token
// (agent-protocol.md 7.1).
func (e *Emulator) exchangeToken(c *request) (any, error) {
	form, err := url.ParseQuery(string(c.body))
	grant := form.Get("grant_type")
	switch {
	case err != nil:
		return oauthError(http.StatusBadRequest, "invalid_request", "The body is no form."), nil
	case grant != "client_credentials":
		return oauthError(http.StatusBadRequest, "unsupported_grant_type", fmt.Sprintf("The grant type %q is not supported.", grant)), nil
	case form.Get("client_assertion_type") != assertionType:
		return oauthError(http.StatusBadRequest, "invalid_client", "The client assertion type is not supported."), nil
	}
	a, problem := e.checkAssertion(form.Get("client_assertion"))
	if problem != "" {
		return oauthError(http.StatusBadRequest, "invalid_client", problem), nil
	}
	token, err := e.agentToken(a)
	if err != nil {
		return nil, err
	}
	e.emitAgent(EventAgentToken, a)
	c.who = principal{isAgent: true, poolID: a.pool.id, agentID: a.id, agent: a}
	c.caller = c.who.label()
	return obj{"access_token": token, "token_type": "Bearer", "expires_in": int(agentLife.Seconds())}, nil
}

// checkAssertion returns the agent that an assertion proves, or what is wrong with it.
func (e *Emulator) checkAssertion(s string) (*agent, string) {
	t, err := parseJWT(s)
	if err == nil && t.head.Alg != "RS256" {
		err = fmt.Errorf("%w: its header does not say alg RS256", errNotJWT)
	}
	if err != nil {
		return nil, "The client assertion cannot be read: " + err.Error() + "."
	}
	claims := t.claims
	var a *agent
	for _, p := range e.pools {
		a = cmp.Or(a, first(p.agents, func(a *agent) bool { return a.key != nil && a.clientID == claims.Issuer }))
	}
	switch {
	case a == nil:
		return nil, fmt.Sprintf("Registration %s was not found.", claims.Issuer)
	case !t.verify(a.key):
		return nil, "The signature of the client assertion is not that of the registered key."
	case claims.Subject != claims.Issuer:
		return nil, "The claims iss and sub of the client assertion differ."
	case claims.Audience != a.authURL:
		return nil, fmt.Sprintf("The audience %s of the client assertion is not %s.", claims.Audience, a.authURL)
	case claims.ID == "":
		return nil, "The client assertion has no jti."
	}
	now := e.Now()
	from, to := unixTime(claims.NotBefore), unixTime(claims.Expires)
	clock := " Current server time is " + now.Format("01/02/2006 15:04:05 -07:00") + "."
	switch {
	case claims.NotBefore == 0 || !to.After(from):
		return nil, "The client assertion has no lifetime." + clock
	case to.Sub(from) > assertionLife && !e.assumptions.LongAssertions:
		return nil, "The client assertion lives longer than 5 minutes." + clock
	case now.Add(clockSkew).Before(from):
		return nil, "The client assertion is not valid yet." + clock
	case !now.Before(to.Add(clockSkew)):
		return nil, "The client assertion has expired." + clock
	}
	// Remembered as sent by this client, so that two agents may use the same jti.
	replay := claims.Issuer + "|" + claims.ID
	if _, used := e.assertions[replay]; used {
		return nil, "The client assertion has been used before."
	}
	e.assertions[replay] = to.Add(clockSkew)
	return a, ""
}

// unixTime limits numbers of clients to the range in which time.Time can compute.
func unixTime(f float64) time.Time {
	const year9999 = 253402300799
	return time.Unix(int64(min(max(f, 0), year9999)), 0)
}

func oauthError(status int, code, description string) reply {
	return jsonReply(status, map[string]string{"error": code, "error_description": description})
}
