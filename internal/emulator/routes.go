package emulator

import (
	"net/http"
	"strings"
)

// handler serves one method of a route. It runs with the store locked, unless it waits: then it locks by itself.
type handler struct {
	serve func(*Emulator, *request) (reply, error)
	waits bool
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

type methods = map[string]handler

func locked(f func(*Emulator, *request) (reply, error)) handler { return handler{serve: f} }

// routeTable is every resource. The ids are from the references, those of the plan routes recalled from
// actions/runner's TaskResourceIds.cs; the templates are shaped from published paths.
func routeTable() []route {
	get, post, put, patch, del := http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete
	const dt = "distributedtask"
	const plan = "{scopeIdentifier}/_apis/{area}/hubs/{hubName}/plans/{planId}/"
	table := []route{
		{id: "e81700f7-3be2-46de-8624-2eb35882fcaa", area: "Location", resource: "ResourceAreas", preview: true,
			template: "_apis/{resource}/{areaId}", methods: methods{get: locked((*Emulator).resourceAreas)}},
		{id: "00d9565f-ed9c-4a06-9a50-00e7896ccab4", area: "Location", resource: "ConnectionData", preview: true,
			template: "_apis/{resource}", methods: methods{get: locked((*Emulator).connectionData)}},
		{id: "c23bf0f9-ab9c-4ff1-bdb4-53bc5d6c8a4f", area: "oauth2", resource: "token", host: "vssps", anonymous: true, unversioned: true,
			template: "_apis/{area}/{resource}/{hostId}", methods: methods{post: locked((*Emulator).exchangeToken)}},
		{id: "a8c47e17-4d56-4a56-92bb-de7ea7dc65be", area: dt, resource: "pools", template: "_apis/{area}/{resource}/{poolId}",
			methods: methods{get: locked((*Emulator).getPools), post: locked((*Emulator).createPool),
				patch: locked((*Emulator).updatePool), del: locked((*Emulator).deletePool)}},
		{id: "e298ef32-5878-4cab-993c-043836571f42", area: dt, resource: "agents", template: "_apis/{area}/pools/{poolId}/{resource}/{agentId}",
			methods: methods{get: locked((*Emulator).getAgents), post: locked((*Emulator).createAgent), put: locked((*Emulator).replaceAgent),
				patch: locked((*Emulator).updateAgent), del: locked((*Emulator).deleteAgent)}},
		{id: "30ba3ada-fedf-4da8-bbb5-dacf2f82e176", area: dt, resource: "usercapabilities", preview: true,
			template: "_apis/{area}/pools/{poolId}/agents/{agentId}/{resource}", methods: methods{put: locked((*Emulator).putUserCapabilities)}},
		{id: "162778f3-4b48-48f3-9d58-436fb9c407bc", area: dt, resource: "permissions", preview: true,
			template: "_apis/{area}/pools/{poolId}/{resource}/{permissions}", methods: methods{get: locked((*Emulator).poolPermissions)}},
		{id: "134e239e-2df3-4794-a6f6-24f1f19ec8dc", area: dt, resource: "sessions", preview: true,
			template: "_apis/{area}/pools/{poolId}/{resource}/{sessionId}",
			methods:  methods{post: locked((*Emulator).createSession), del: locked((*Emulator).deleteSession)}},
		{id: "c3a054f6-7a8a-49c0-944e-3a8e5d7adfd7", area: dt, resource: "messages", preview: true,
			template: "_apis/{area}/pools/{poolId}/{resource}/{messageId}",
			methods: methods{get: {(*Emulator).pollMessage, true}, del: locked((*Emulator).deleteMessage),
				post: locked((*Emulator).refreshAgents)}},
		{id: "fc825784-c92a-4299-9221-998a02d1b54f", area: dt, resource: "jobrequests", preview: true,
			template: "_apis/{area}/pools/{poolId}/{resource}/{requestId}",
			methods: methods{get: locked((*Emulator).getJobRequests), patch: locked((*Emulator).updateJobRequest),
				del: locked((*Emulator).deleteJobRequest)}},
		{id: "8ffcd551-079c-493a-9c02-54346299d144", area: dt, resource: "packages", preview: true,
			template: "_apis/{area}/{resource}/{packageType}/{platform}/{version}", methods: methods{get: {(*Emulator).getPackages, true}}},
		{id: "557624af-b29e-4c20-8ab0-0399d2204f3f", area: dt, resource: "events", preview: true,
			template: plan + "{resource}", methods: methods{post: locked((*Emulator).planEvent)}},
		{id: "858983e4-19bd-4c5e-864c-507b59b58b12", area: dt, resource: "feed", preview: true,
			template: plan + "timelines/{timelineId}/records/{recordId}/{resource}", methods: methods{post: locked((*Emulator).postFeed)}},
		{id: "8893bc5b-35b2-4be7-83cb-99e683551db4", area: dt, resource: "records", preview: true,
			template: plan + "timelines/{timelineId}/{resource}",
			methods:  methods{get: locked((*Emulator).getRecords), patch: locked((*Emulator).updateRecords)}},
		{id: "83597576-cc2c-453c-bea6-2882ae6a1653", area: dt, resource: "timelines", preview: true,
			template: plan + "{resource}/{timelineId}", methods: methods{get: locked((*Emulator).getTimeline)}},
		{id: "46f5667d-263a-4684-91b1-dff7fdcf64e2", area: dt, resource: "logs", preview: true,
			template: plan + "{resource}/{logId}", methods: methods{get: locked((*Emulator).getLogs), post: locked((*Emulator).postLog)}},
	}
	table = append(table, accountRoutes()...)
	for i := range table {
		t := strings.NewReplacer("{area}", table[i].area, "{resource}", table[i].resource).Replace(table[i].template)
		table[i].segments = strings.Split(t, "/")
	}
	return table
}

// accountRoutes are users, roles and projects. The scopes of PATs are recalled from Microsoft's list of them.
func accountRoutes() []route {
	get, post, put, patch, del := http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete
	const members, graph, roles = "vso.memberentitlementmanagement", "vso.graph", "vso.security"
	return []route{
		{id: "f03dbf50-80f8-41b7-8ca2-65b6a178caba", area: "MemberEntitlementManagement", resource: "ServicePrincipalEntitlements", preview: true,
			host: "vsaex", scope: members, template: "_apis/{resource}",
			methods: methods{post: locked((*Emulator).addEntitlement), patch: locked((*Emulator).updateEntitlements)}},
		{id: "1d491a66-190b-43ae-86b8-9c2688c55186", area: "MemberEntitlementManagement", resource: "ServicePrincipalEntitlements", preview: true,
			host: "vsaex", scope: members, template: "_apis/{resource}/{servicePrincipalId}", methods: methods{get: locked((*Emulator).getEntitlement),
				patch: locked((*Emulator).updateEntitlement), del: locked((*Emulator).deleteEntitlement)}},
		{id: "e1dbb0ae-49cb-4532-95a1-86cd89cfcab4", area: "Graph", resource: "ServicePrincipals", preview: true, host: "vssps", scope: graph,
			template: "_apis/{area}/{resource}/{servicePrincipalDescriptor}", methods: methods{get: locked((*Emulator).getServicePrincipals),
				post: locked((*Emulator).addServicePrincipal), del: locked((*Emulator).deleteServicePrincipal)}},
		{id: "eb85f8cc-f0f6-4264-a5b1-ffe2e4d4801f", area: "Graph", resource: "StorageKeys", preview: true, host: "vssps", scope: graph,
			template: "_apis/{area}/{resource}/{subjectDescriptor}", methods: methods{get: locked((*Emulator).getStorageKey)}},
		{id: "048aee0a-7072-4cde-ab73-7af77b1e0b4e", area: "Graph", resource: "Descriptors", preview: true, host: "vssps", scope: graph,
			template: "_apis/{area}/{resource}/{storageKey}", methods: methods{get: locked((*Emulator).getDescriptor)}},
		{id: "05942c89-006a-48ce-bb79-baeb8abf99c6", area: "Graph", resource: "SubjectQuery", preview: true, host: "vssps", scope: graph,
			template: "_apis/{area}/{resource}", methods: methods{post: locked((*Emulator).subjectQuery)}},
		{id: "28010c54-d0c0-4c89-a5b0-1c9e188b9fb7", area: "IMS", resource: "Identities", host: "vssps", scope: "vso.identity",
			template: "_apis/{resource}/{identityId}", methods: methods{get: locked((*Emulator).getIdentities)}},
		{id: "9461c234-c84c-4ed2-b918-2f0f92ad0a35", area: "securityroles", resource: "roleassignments", preview: true, scope: roles,
			template: "_apis/{area}/scopes/{scopeId}/{resource}/resources/{resourceId}/{identityId}",
			methods: methods{get: locked((*Emulator).getRoleAssignments), put: locked((*Emulator).putRoleAssignments),
				patch: locked((*Emulator).patchRoleAssignments), del: locked((*Emulator).deleteRoleAssignment)}},
		{id: "f4cc9a86-453c-48d2-b44d-d3bd5c105f4f", area: "securityroles", resource: "roledefinitions", preview: true, scope: roles,
			template: "_apis/{area}/scopes/{scopeId}/{resource}", methods: methods{get: locked((*Emulator).getRoleDefinitions)}},
		{id: "603fe2ac-9723-48b9-88ad-09305aa6c6e1", area: "core", resource: "projects", scope: "vso.project",
			template: "_apis/{resource}/{projectId}", methods: methods{get: locked((*Emulator).getProjects)}},
		{id: "900fa995-c559-4923-aae7-f8424fe4fbea", area: "distributedtask", resource: "queues",
			template: "{project}/_apis/{area}/{resource}/{queueId}", methods: methods{get: locked((*Emulator).getQueues),
				post: locked((*Emulator).createQueue), del: locked((*Emulator).deleteQueue)}},
		{id: "b5b9a4a4-e6cd-4096-853c-ab7d8b0c4eb2", area: "PipelinePermissions", resource: "pipelinePermissions", preview: true, scope: "vso.pipelineresources",
			template: "{project}/_apis/pipelines/{resource}/{resourceType}/{resourceId}",
			methods:  methods{get: locked((*Emulator).getPipelinePermissions), patch: locked((*Emulator).patchPipelinePermissions)}},
	}
}
