package emulator

import (
	"fmt"
	"net/http"
)

// apiError is an answer with Azure DevOps' error envelope (azure-devops-rest.md 0).
type apiError struct {
	status    int
	typeKey   string
	namespace string // of the .NET type; its assembly has the same name in every type we answer with
	message   string
}

func (a *apiError) Error() string { return a.typeKey + ": " + a.message }

const (
	nsTask   = "Microsoft.TeamFoundation.DistributedTask.WebApi"
	nsCommon = "Microsoft.VisualStudio.Services.Common"
	nsWebAPI = "Microsoft.VisualStudio.Services.WebApi"
	nsServer = "Microsoft.TeamFoundation.Framework.Server"
)

func (a *apiError) reply() reply {
	return jsonReply(a.status, map[string]any{
		"$id": "1", "innerException": nil, "message": a.message,
		"typeName": a.namespace + "." + a.typeKey + ", " + a.namespace,
		"typeKey":  a.typeKey, "errorCode": 0, "eventId": 3000,
	})
}

func taskError(status int, typeKey, format string, args ...any) *apiError {
	return &apiError{status, typeKey, nsTask, fmt.Sprintf(format, args...)}
}

// The errors below carry the texts that azure-devops-rest.md 2 and 5 quote.

// errNoPool is of a pool by its id; where it may not be seen, it is not there.
func (e *Emulator) errNoPool(who principal, id any) *apiError {
	if e.assumptions.MissingPoolForbidden {
		return taskError(http.StatusForbidden, "AccessDeniedException", "Access denied. %s needs View permissions for pool %v to perform the action.",
			who.display(), id)
	}
	return taskError(http.StatusNotFound, "TaskAgentPoolNotFoundException", "No agent pool found with identifier %v.", id)
}

func errNoAgent(poolID int, agentID any) *apiError {
	return taskError(http.StatusNotFound, "TaskAgentNotFoundException", "No agent found for pool %d with identifier %v.", poolID, agentID)
}

func (e *Emulator) errAgentExists(poolID int, name string) *apiError {
	status := choose(e.assumptions.NameTakenBadRequest, http.StatusBadRequest, http.StatusConflict)
	return taskError(status, "TaskAgentExistsException", "Pool %d already contains an agent with name %s.", poolID, name)
}

func errPoolExists(name string) *apiError {
	return taskError(http.StatusConflict, "TaskAgentPoolExistsException", "Agent pool %s already exists.", name)
}

func errNeeds(who principal, right, poolName string) *apiError {
	of := choose(poolName != "", " for pool "+poolName, "") // creating a pool names none
	return taskError(http.StatusForbidden, "AccessDeniedException",
		"Access denied. %s needs %s permissions%s to perform the action. For more information, contact the Azure DevOps Server administrator.",
		who.display(), right, of)
}

func (e *Emulator) errJobRuns(agentName, poolName string) *apiError {
	status := choose(e.assumptions.JobRunningConflict, http.StatusConflict, http.StatusBadRequest)
	return taskError(status, "TaskAgentJobStillRunningException", "Agent %q is running a job for pool %q", agentName, poolName)
}

// errSessionExpired has a status nobody has seen quoted; the type is what listeners look at (agent-protocol.md 5.5).
func errSessionExpired(id string) *apiError {
	return taskError(http.StatusNotFound, "TaskAgentSessionExpiredException", "The agent session %s has expired.", id)
}

func errNoJob(id any) *apiError {
	return taskError(http.StatusNotFound, "TaskAgentJobNotFoundException", "No agent job request found with identifier %v.", id)
}

func errBadRequest(format string, args ...any) *apiError {
	return &apiError{http.StatusBadRequest, "VssPropertyValidationException", nsCommon, fmt.Sprintf(format, args...)}
}

func errUnauthorized(message string) *apiError {
	return &apiError{http.StatusUnauthorized, "UnauthorizedRequestException", nsServer, message}
}

// errServer is an error without a type of its own.
func errServer(status int, message string) *apiError {
	return &apiError{status, "VssServiceException", nsCommon, message}
}

// errWebAPI is an error of the services for users and identities.
func errWebAPI(status int, typeKey, format string, args ...any) *apiError {
	return &apiError{status, typeKey, nsWebAPI, fmt.Sprintf(format, args...)}
}

// errNoAccess is what an identity or agent gets that the organisation does not admit.
func errNoAccess(id any) *apiError {
	return errUnauthorized(fmt.Sprintf("TF400813: The user '%v' is not authorized to access this resource.", id))
}
