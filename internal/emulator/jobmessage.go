package emulator

import (
	"fmt"
	"maps"
	"regexp"
	"strconv"
)

// planType is the kind of plan every job here belongs to; it names the hub in the plan's routes.
const planType = "Build"

// planVersion 8 makes the worker end the job by a plan event, not the listener by PATCH (agent-protocol.md 7.4).
const planVersion = 8

// cmdLineTask is the id of Microsoft's CmdLine task, what "script:" in a pipeline becomes.
const cmdLineTask = "d9bafed4-0b18-4f58-968d-86655b4d2ce9"

type obj = map[string]any

// jobMessage is the body of a PipelineAgentJobRequest (agent-protocol.md 7.4).
func (e *Emulator) jobMessage(base string, j *job) (obj, error) {
	token, err := e.jobToken(j)
	if err != nil {
		return nil, fmt.Errorf("cannot make the job's token: %w", err)
	}
	org := e.hostURL(base, "")
	return obj{
		"messageType": msgJob,
		"plan": obj{
			"scopeIdentifier": j.project.id, "planId": j.planID, "planType": planType, "version": planVersion, "planGroup": "emulated",
			"definition": e.definitionRef(base, j), "owner": e.ownerRef(base, j),
		},
		"timeline": obj{"id": j.timelineID, "changeId": j.changeID, "location": nil},
		"jobId":    j.jobID, "jobDisplayName": j.spec.Name, "jobName": "__default", "requestId": j.requestID,
		"lockedUntil": timestampOf(j.lockedUntil),
		"resources": obj{
			"endpoints":    []obj{e.systemConnection(org, token)},
			"repositories": []obj{}, "containers": []obj{}, "secureFiles": []obj{},
		},
		"variables": j.variables(org),
		"mask":      []obj{{"type": "regex", "value": regexp.QuoteMeta(token)}},
		"steps":     []obj{j.step()},
		"workspace": obj{},
	}, nil
}

func (e *Emulator) systemConnection(org, token string) obj {
	return obj{
		"name": "SystemVssConnection", "url": org, "isShared": false, "isReady": true,
		"data":          obj{"ServerId": e.instanceID, "ServerName": e.opts.Org},
		"authorization": obj{"scheme": "OAuth", "parameters": obj{"AccessToken": token}},
	}
}

func (j *job) variables(org string) obj {
	out := obj{}
	for name, value := range map[string]string{
		"system.collectionUri": org, "system.teamProjectId": j.project.id, "system.teamProject": j.project.name,
		"system.servertype": "Hosted", // the worker takes the server for Azure DevOps Server without it (agent-protocol.md, corrections)
		"system.planId":     j.planID, "system.timelineId": j.timelineID, "system.jobId": j.jobID,
		"system.jobDisplayName": j.spec.Name, "system.jobName": "__default", "system.hostType": "build",
		"system.definitionId": "1", "build.buildId": strconv.FormatInt(j.requestID, 10), "build.buildNumber": j.buildNumber(),
	} {
		out[name] = obj{"value": value, "isSecret": false}
	}
	return out
}

func (j *job) step() obj {
	env := map[string]string{}
	maps.Copy(env, j.spec.Env)
	return obj{
		"type": "task", "id": j.stepID, "name": "CmdLine", "displayName": j.spec.Name, "enabled": true,
		"condition": "succeeded()", "continueOnError": false, "timeoutInMinutes": 0, "retryCountOnTaskFailure": 0,
		"reference":   obj{"id": cmdLineTask, "name": "CmdLine", "version": "2.250.1"},
		"inputs":      map[string]string{"script": j.spec.Script},
		"environment": env,
	}
}

func (j *job) buildNumber() string {
	return j.queueTime.Format("20060102") + "." + strconv.FormatInt(j.requestID, 10)
}

// definitionRef and ownerRef are the pipeline and its run, as in KEDA's fixtures (azure-devops-rest.md 2.4).
func (e *Emulator) definitionRef(base string, j *job) obj {
	at := e.hostURL(base, "") + j.project.id
	return obj{"id": 1, "name": "emulated", "_links": obj{
		"web": href{at + "/_build/definition?definitionId=1"}, "self": href{at + "/_apis/build/Definitions/1"}}}
}

func (e *Emulator) ownerRef(base string, j *job) obj {
	at := e.hostURL(base, "") + j.project.id
	id := strconv.FormatInt(j.requestID, 10)
	return obj{"id": j.requestID, "name": j.buildNumber(), "_links": obj{
		"web": href{at + "/_build/results?buildId=" + id}, "self": href{at + "/_apis/build/Builds/" + id}}}
}
