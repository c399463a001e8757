package emulator

import (
	"cmp"
	"net/http"
	"strings"
)

// handler serves one method of a route. It runs with the emulator locked, unless it waits: then it locks by itself.
// It returns a reply, or a value that is sent as JSON with status 200.
type handler struct {
	serve func(*request) (any, error)
	waits bool
}

type methods = map[string]handler

func locked(serve func(*request) (any, error)) handler {
	return handler{serve: serve}
}

// on makes a handler that is given what find finds: what the path names, if the caller may do this with it.
func on[T any](find func(*request) (T, error), serve func(*request, T) (any, error)) handler {
	return locked(func(c *request) (any, error) {
		target, err := find(c)
		if err != nil {
			return nil, err
		}
		return serve(c, target)
	})
}

// onBody makes a handler like on, that is also given the body. Nobody learns what is wrong with a body before it is
// clear that the call is allowed.
func onBody[T, In any](find func(*request) (T, error), serve func(*request, T, In) (any, error)) handler {
	return on(find, func(c *request, target T) (any, error) {
		var in In
		if err := c.decode(&in); err != nil {
			return nil, err
		}
		return serve(c, target, in)
	})
}

// route is a resource: one row for both the routing and the OPTIONS discovery (azure-devops-rest.md 1.1).
type route struct {
	id, area, resource string
	template           string
	host               string // which of the three hosts serves it; "" is dev.azure.com
	scope              string // what a PAT of narrow scopes must have; "" is vso.agentpools
	preview            bool   // never went GA: wants -preview
	unversioned        bool   // no api-version asked for
	anonymous          bool   // proves itself by other means than an Authorization header
	methods            map[string]handler
	segments           []string
}

// The methods, as the tables below name them.
const (
	get   = http.MethodGet
	post  = http.MethodPost
	put   = http.MethodPut
	patch = http.MethodPatch
	del   = http.MethodDelete
)

// routeTable returns all resources. The ids are from the references, those of the plan routes recalled from
// actions/runner's TaskResourceIds.cs; the templates are shaped from published paths.
func (e *Emulator) routeTable() []route {
	const plan = "{scopeIdentifier}/_apis/{area}/hubs/{hubName}/plans/{planId}/"
	table := []route{
		{id: "e81700f7-3be2-46de-8624-2eb35882fcaa", area: "Location", resource: "ResourceAreas", preview: true,
			template: "_apis/{resource}/{areaId}", methods: methods{get: locked(e.resourceAreas)}},
		{id: "00d9565f-ed9c-4a06-9a50-00e7896ccab4", area: "Location", resource: "ConnectionData", preview: true,
			template: "_apis/{resource}", methods: methods{get: locked(e.connectionData)}},
		{id: "c23bf0f9-ab9c-4ff1-bdb4-53bc5d6c8a4f", area: "oauth2", resource: "token", host: "vssps", anonymous: true, unversioned: true,
			template: "_apis/{area}/{resource}/{hostId}", methods: methods{post: locked(e.exchangeToken)}},
		{id: "a8c47e17-4d56-4a56-92bb-de7ea7dc65be", template: "_apis/{area}/{resource}/{poolId}", resource: "pools",
			methods: methods{get: locked(e.getPools), post: onBody(e.poolCreator, e.createPool),
				patch: onBody(e.managedPool, e.updatePool), del: on(e.managedPool, e.deletePool)}},
		{id: "e298ef32-5878-4cab-993c-043836571f42", template: "_apis/{area}/pools/{poolId}/{resource}/{agentId}", resource: "agents",
			methods: methods{get: locked(e.getAgents), post: onBody(e.managedPool, e.createAgent), put: onBody(e.managedAgent, e.replaceAgent),
				patch: onBody(e.managedAgent, e.updateAgent), del: locked(e.deleteAgent)}},
		{id: "30ba3ada-fedf-4da8-bbb5-dacf2f82e176", template: "_apis/{area}/pools/{poolId}/agents/{agentId}/{resource}", resource: "usercapabilities",
			preview: true, methods: methods{put: locked(e.putUserCapabilities)}},
		{id: "8cc1b02b-ae49-4516-b5ad-4f9b29967c30", template: "_apis/{area}/pools/{poolId}/agents/{agentId}/{resource}", resource: "updates",
			preview: true, methods: methods{put: locked(e.reportUpdate)}},
		{id: "162778f3-4b48-48f3-9d58-436fb9c407bc", template: "_apis/{area}/pools/{poolId}/{resource}/{permissions}", resource: "permissions",
			preview: true, methods: methods{get: locked(e.poolPermissions)}},
		{id: "134e239e-2df3-4794-a6f6-24f1f19ec8dc", template: "_apis/{area}/pools/{poolId}/{resource}/{sessionId}", resource: "sessions",
			preview: true, methods: methods{post: locked(e.createSession), del: on(e.ownSession, e.deleteSession)}},
		{id: "c3a054f6-7a8a-49c0-944e-3a8e5d7adfd7", template: "_apis/{area}/pools/{poolId}/{resource}/{messageId}", resource: "messages",
			preview: true, methods: methods{get: {e.pollMessage, true}, del: on(e.ownSession, e.deleteMessage), post: on(e.managedPool, e.refreshAgents)}},
		{id: "fc825784-c92a-4299-9221-998a02d1b54f", template: "_apis/{area}/pools/{poolId}/{resource}/{requestId}", resource: "jobrequests",
			preview: true, methods: methods{get: on(e.visiblePool, e.getJobRequests), patch: onBody(e.heldJob, e.updateJobRequest),
				del: on(e.heldJob, e.deleteJobRequest)}},
		{id: "8ffcd551-079c-493a-9c02-54346299d144", template: "_apis/{area}/{resource}/{packageType}/{platform}/{version}", resource: "packages",
			preview: true, methods: methods{get: {e.getPackages, true}}},
		{id: "557624af-b29e-4c20-8ab0-0399d2204f3f", template: plan + "{resource}", resource: "events",
			preview: true, methods: methods{post: onBody(e.planJob, e.planEvent)}},
		{id: "858983e4-19bd-4c5e-864c-507b59b58b12", template: plan + "timelines/{timelineId}/records/{recordId}/{resource}", resource: "feed",
			preview: true, methods: methods{post: onBody(e.planJob, e.postFeed)}},
		{id: "8893bc5b-35b2-4be7-83cb-99e683551db4", template: plan + "timelines/{timelineId}/{resource}", resource: "records",
			preview: true, methods: methods{get: on(e.planJob, e.getRecords), patch: onBody(e.planJob, e.updateRecords)}},
		{id: "83597576-cc2c-453c-bea6-2882ae6a1653", template: plan + "{resource}/{timelineId}", resource: "timelines",
			preview: true, methods: methods{get: on(e.planJob, e.getTimeline)}},
		{id: "46f5667d-263a-4684-91b1-dff7fdcf64e2", template: plan + "{resource}/{logId}", resource: "logs",
			preview: true, methods: methods{get: on(e.planJob, e.getLogs), post: on(e.planJob, e.postLog)}},
	}
	table = append(table, e.accountRoutes()...)
	for i := range table {
		r := &table[i]
		r.area = cmp.Or(r.area, "distributedtask")
		r.segments = strings.Split(strings.NewReplacer("{area}", r.area, "{resource}", r.resource).Replace(r.template), "/")
	}
	return table
}

// accountRoutes returns users, roles and projects. The scopes of PATs are recalled from Microsoft's list of them.
func (e *Emulator) accountRoutes() []route {
	const members, graph, roles = "vso.memberentitlementmanagement", "vso.graph", "vso.security"
	return []route{
		{id: "f03dbf50-80f8-41b7-8ca2-65b6a178caba", area: "MemberEntitlementManagement", resource: "ServicePrincipalEntitlements", preview: true,
			host: "vsaex", scope: members, template: "_apis/{resource}",
			methods: methods{post: onBody(mayManageUsers("Add Users"), e.addEntitlement), patch: onBody(mayManageUsers("Edit Users"), e.updateEntitlements)}},
		{id: "1d491a66-190b-43ae-86b8-9c2688c55186", area: "MemberEntitlementManagement", resource: "ServicePrincipalEntitlements", preview: true,
			host: "vsaex", scope: members, template: "_apis/{resource}/{servicePrincipalId}",
			methods: methods{get: on(e.entitled(mayReadUsers), e.getEntitlement), patch: onBody(e.entitled(mayManageUsers("Edit Users")), e.updateEntitlement),
				del: on(e.entitled(mayManageUsers("Delete Users")), e.removeMember)}},
		{id: "e1dbb0ae-49cb-4532-95a1-86cd89cfcab4", area: "Graph", resource: "ServicePrincipals", preview: true, host: "vssps", scope: graph,
			template: "_apis/{area}/{resource}/{servicePrincipalDescriptor}", methods: methods{get: on(mayReadUsers, e.getServicePrincipals),
				post: onBody(mayManageUsers("Add Users"), e.addServicePrincipal), del: on(e.subject(mayManageUsers("Delete Users")), e.removeMember)}},
		{id: "eb85f8cc-f0f6-4264-a5b1-ffe2e4d4801f", area: "Graph", resource: "StorageKeys", preview: true, host: "vssps", scope: graph,
			template: "_apis/{area}/{resource}/{subjectDescriptor}", methods: methods{get: on(e.subject(mayReadUsers), e.getStorageKey)}},
		{id: "048aee0a-7072-4cde-ab73-7af77b1e0b4e", area: "Graph", resource: "Descriptors", preview: true, host: "vssps", scope: graph,
			template: "_apis/{area}/{resource}/{storageKey}", methods: methods{get: on(mayReadUsers, e.getDescriptor)}},
		{id: "05942c89-006a-48ce-bb79-baeb8abf99c6", area: "Graph", resource: "SubjectQuery", preview: true, host: "vssps", scope: graph,
			template: "_apis/{area}/{resource}", methods: methods{post: onBody(mayReadUsers, e.subjectQuery)}},
		{id: "28010c54-d0c0-4c89-a5b0-1c9e188b9fb7", area: "IMS", resource: "Identities", host: "vssps", scope: "vso.identity",
			template: "_apis/{resource}/{identityId}", methods: methods{get: on(mayReadUsers, e.getIdentities)}},
		{id: "9461c234-c84c-4ed2-b918-2f0f92ad0a35", area: "securityroles", resource: "roleassignments", preview: true, scope: roles,
			template: "_apis/{area}/scopes/{scopeId}/{resource}/resources/{resourceId}/{identityId}",
			methods: methods{get: on(e.roleTarget, e.getRoleAssignments), put: locked(e.putRoleAssignments),
				patch: on(e.manageableTarget, e.patchRoleAssignments), del: on(e.manageableTarget, e.deleteRoleAssignment)}},
		{id: "f4cc9a86-453c-48d2-b44d-d3bd5c105f4f", area: "securityroles", resource: "roledefinitions", preview: true, scope: roles,
			template: "_apis/{area}/scopes/{scopeId}/{resource}", methods: methods{get: on(mayReadUsers, e.getRoleDefinitions)}},
		{id: "603fe2ac-9723-48b9-88ad-09305aa6c6e1", area: "core", resource: "projects", scope: "vso.project",
			template: "_apis/{resource}/{projectId}", methods: methods{get: on(mayReadUsers, e.getProjects)}},
		{id: "93878975-88c5-4e6a-8abb-7ddd77a8a7d8", area: "core", resource: "processes", scope: "vso.work",
			template: "_apis/process/{resource}/{processId}", methods: methods{get: on(mayReadUsers, e.getProcesses)}},
		{id: "900fa995-c559-4923-aae7-f8424fe4fbea", resource: "queues", template: "{project}/_apis/{area}/{resource}/{queueId}",
			methods: methods{get: on(e.pathProject, e.getQueues), post: onBody(e.pathProject, e.createQueue), del: on(e.pathQueue, e.deleteQueue)}},
		{id: "b5b9a4a4-e6cd-4096-853c-ab7d8b0c4eb2", area: "PipelinePermissions", resource: "pipelinePermissions", preview: true, scope: "vso.pipelineresources",
			template: "{project}/_apis/pipelines/{resource}/{resourceType}/{resourceId}",
			methods:  methods{get: on(e.permittedQueue, e.getPipelinePermissions), patch: onBody(e.administeredQueue, e.patchPipelinePermissions)}},
	}
}
