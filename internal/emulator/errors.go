package emulator

import (
	"errors"
	"fmt"
	"net/http"
)

// Error makes a reply an error: a refusal is returned as one.
func (r reply) Error() string {
	return fmt.Sprintf("status %d: %s", r.status, r.body)
}

// asReply returns the reply that an error is, or status 500.
func asReply(err error) reply {
	var r reply
	if errors.As(err, &r) {
		return r
	}
	return errServer(http.StatusInternalServerError, err.Error())
}

const (
	nsTask   = "Microsoft.TeamFoundation.DistributedTask.WebApi"
	nsCommon = "Microsoft.VisualStudio.Services.Common"
	nsWebAPI = "Microsoft.VisualStudio.Services.WebApi"
	nsServer = "Microsoft.TeamFoundation.Framework.Server"
)

// apiError makes an answer with Azure DevOps' error envelope (azure-devops-rest.md 0). The namespace is that of the .NET
// type, whose assembly has the same name in every type that is sent.
func apiError(status int, typeKey, namespace, format string, args ...any) reply {
	r := jsonReply(status, obj{
		"$id": "1", "innerException": nil, "message": fmt.Sprintf(format, args...),
		"typeName": namespace + "." + typeKey + ", " + namespace,
		"typeKey":  typeKey, "errorCode": 0, "eventId": 3000,
	})
	r.typeKey = typeKey
	return r
}

func taskError(status int, typeKey, format string, args ...any) reply {
	return apiError(status, typeKey, nsTask, format, args...)
}

// The errors below carry the texts that azure-devops-rest.md 2 and 5 quote.

// errNoPool is the error for a pool id that does not exist, or that the caller may not see.
func (e *Emulator) errNoPool(who principal, id any) reply {
	if e.assumptions.MissingPoolForbidden {
		return taskError(http.StatusForbidden, "AccessDeniedException", "Access denied. %s needs View permissions for pool %v to perform the action.",
			who.display(), id)
	}
	return taskError(http.StatusNotFound, "TaskAgentPoolNotFoundException", "No agent pool found with identifier %v.", id)
}

func errNoAgent(poolID int, agentID any) reply {
	return taskError(http.StatusNotFound, "TaskAgentNotFoundException", "No agent found for pool %d with identifier %v.", poolID, agentID)
}

func errPoolExists(name string) reply {
	return taskError(http.StatusConflict, "TaskAgentPoolExistsException", "Agent pool %s already exists.", name)
}

func errNeeds(who principal, right, poolName string) reply {
	of := choose(poolName != "", " for pool "+poolName, "") // creating a pool names none
	return taskError(http.StatusForbidden, "AccessDeniedException",
		"Access denied. %s needs %s permissions%s to perform the action. For more information, contact the Azure DevOps Server administrator.",
		who.display(), right, of)
}

func (e *Emulator) errJobRuns(agentName, poolName string) reply {
	status := choose(e.assumptions.JobRunningConflict, http.StatusConflict, http.StatusBadRequest)
	return taskError(status, "TaskAgentJobStillRunningException", "Agent %q is running a job for pool %q", agentName, poolName)
}

// errSessionExpired has an unverified status. Listeners look at the type (agent-protocol.md 5.5).
func errSessionExpired(id string) reply {
	return taskError(http.StatusNotFound, "TaskAgentSessionExpiredException", "The agent session %s has expired.", id)
}

func errNoJob(id any) reply {
	return taskError(http.StatusNotFound, "TaskAgentJobNotFoundException", "No agent job request found with identifier %v.", id)
}

func errBadRequest(format string, args ...any) reply {
	return apiError(http.StatusBadRequest, "VssPropertyValidationException", nsCommon, format, args...)
}

func errUnauthorized(message string) reply {
	return apiError(http.StatusUnauthorized, "UnauthorizedRequestException", nsServer, "%s", message)
}

// errServer is an error without a type of its own.
func errServer(status int, message string) reply {
	return apiError(status, "VssServiceException", nsCommon, "%s", message)
}

// errWebAPI is an error of the services for users and identities.
func errWebAPI(status int, typeKey, format string, args ...any) reply {
	return apiError(status, typeKey, nsWebAPI, format, args...)
}

// textNoAccess is the message for an identity or agent that the organisation does not admit.
func textNoAccess(id any) string {
	return fmt.Sprintf("TF400813: The user '%v' is not authorized to access this resource.", id)
}
