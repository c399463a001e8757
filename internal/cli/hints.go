package cli

import (
	"errors"
	"strings"

	"github.com/azptend/azptend/internal/agent"
	"github.com/azptend/azptend/internal/azdo"
	"github.com/azptend/azptend/internal/control"
	"github.com/azptend/azptend/internal/identity"
	"github.com/azptend/azptend/internal/proc"
	"github.com/azptend/azptend/internal/setup"
)

// hintFor knows what to do about the failures that everybody meets once.
// Sources: azure-devops-rest.md 5, identity.md 5.
func hintFor(err error) string {
	var unfit *agent.UnfitError
	var endpoint *identity.EndpointError
	var user *proc.UserError
	var knows interface{ Hint() string }
	switch {
	case errors.As(err, &unfit):
		return unfit.Hint
	case errors.As(err, &user):
		return user.Hint
	case errors.As(err, &knows) && knows.Hint() != "":
		return knows.Hint()
	case errors.Is(err, control.ErrNobody):
		return "is AZP_AGENT_DIR (--agent-dir) the one of the azptend run to talk to, and was there no warning about its control socket?"
	case errors.Is(err, control.ErrForbidden):
		return "be the user that azptend run runs as, or root"
	case errors.Is(err, control.ErrSilent):
		return "its process is stopped or stuck, or the machine is too busy to let it answer"
	case errors.Is(err, setup.ErrSelf):
		return "run it as an administrator: with --auth azure-cli after `az login`, or with a personal access token in AZP_TOKEN and --auth pat"
	case errors.Is(err, azdo.ErrServer):
		return "on a server of one's own agents register with a personal access token (AZP_TOKEN)"
	case errors.Is(err, azdo.ErrNoPool):
		return hintForNoPool(err)
	case errors.Is(err, azdo.ErrSignIn):
		return "the token is expired, of another tenant, or no token for Azure DevOps"
	case errors.Is(err, azdo.ErrNotJSON):
		return "is AZP_URL (--url) right, and is there a proxy (HTTPS_PROXY) or a login page of the network that answers in Azure DevOps' place?"
	case errors.Is(err, azdo.ErrRedirect):
		return "is AZP_URL (--url) the organisation's own address? redirects are not followed, for a token would go along"
	case errors.As(err, &endpoint) && endpoint.Endpoint != "": // Entra ID, whose sentence says which of them it is
		return "are the client id and the tenant right, and is the secret, the certificate or the federated credential one of that application's?"
	case errors.As(err, &endpoint) && endpoint.NoToken:
		return "is IDENTITY_ENDPOINT really the platform's identity endpoint?"
	case errors.As(err, &endpoint) && endpoint.Status == 403:
		return "is IDENTITY_HEADER the one that the platform gave this very container?"
	case errors.As(err, &endpoint):
		return "is the identity assigned to this container app or machine, and is MANAGED_IDENTITY_OBJECT_ID its object (principal) id?"
	}
	return hintForAnswer(err)
}

// hintForNoPool tells the causes apart that look the same to a client: the list
// of pools leaves out what the caller may not view, without a word. The post had
// this puzzle, and its answer was the licence.
func hintForNoPool(err error) string {
	const role = "give it the Administrator role on the pool (Organization settings, Agent pools, the pool, Security)"
	var e *azdo.NoPoolError
	switch {
	case errors.As(err, &e) && len(e.Sees) > 0:
		return "the identity sees other pools, so its licence and its tenant are right: either AZP_POOL (--pool) or AZP_POOL_ID (--pool-id) " +
			"is wrong, or the identity has no role on that pool: " + role
	case errors.As(err, &e) && e.Known:
		return "the identity sees no pool at all, so it is hardly the name: begin with its Basic licence (Organization settings, Users), " +
			"without which no role counts; then " + role + "; and compare the organisation's tenant (Organization settings, Microsoft Entra) with the identity's"
	}
	return "if the pool exists, the identity may not see it: it needs a Basic licence in the organisation " +
		"(Organization settings, Users); then " + role
}

// hintForAnswer is by the server's status, and by the code in its sentence where
// one status means several things.
func hintForAnswer(err error) string {
	var answer *azdo.Error
	if !errors.As(err, &answer) {
		return ""
	}
	says := func(text string) bool { return strings.Contains(strings.ToLower(answer.Message), text) }
	switch {
	case answer.Status == 401 && says("personal access token used has expired"):
		return "make a new token and put it into AZP_TOKEN or AZP_TOKEN_FILE; a managed identity (MANAGED_IDENTITY_OBJECT_ID) needs none"
	case answer.Status == 401 && says("tf401444"):
		return "the organisation does not know the identity that the message names (tenant, then object id): " +
			"add it, with a Basic licence (Organization settings, Users, Add users)"
	case answer.Status == 401 && says("tf400813"):
		return "the organisation refuses the identity that the message names: is it a user with a licence (Organization settings, Users), " +
			"and does a personal access token have the scope Agent Pools (read, manage)?"
	case answer.Status == 401:
		return "is the identity a user of the organisation (Organization settings, Users), and in the organisation's own tenant? " +
			"a personal access token may have expired, or lack the scope Agent Pools (read, manage)"
	case answer.Status == 403 && says("vs403463"):
		return "a conditional access policy of the tenant keeps this identity or this network out: ask who administers Microsoft Entra"
	case answer.Status == 403:
		return "give the identity the Administrator role on the organisation's pool (Organization settings, Agent pools, " +
			"the pool, Security): the role on a project's pool is not enough"
	case answer.Status == 404:
		return "is the organisation's name in AZP_URL (--url) right?"
	}
	return ""
}
